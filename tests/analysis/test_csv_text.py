from attnbench.analysis.csv_text import csv_text


def test_records_need_not_have_the_same_keys():
    assert csv_text([{"a": 1, "b": None}, {"a": "x,y", "c": 0.5}]) == 'a,b,c\n1,,\n"x,y",,0.5\n'
