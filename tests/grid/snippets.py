"""Pieces of YAML for hostile grids: each may stand where a value or a key belongs."""

# fmt: off
NUMBERS = [
    "0", "-1", "1", "2", "3", "0.0", "-0.0", ".5", "1e-3", "1e400", "-1e400", "1e-400", ".inf", "-.inf", ".nan",
    ".NaN", "999", "1000000", "1000000000", "9223372036854775807", "9223372036854775808", "-9223372036854775809",
    "1000000000000000000000000000000", "0x1F", "0o17", "017", "08", "0b11", "1_000", "1:30", "190:20:30", "+12", "1.",
    "1e", "0x", "1e+3", "٣", "½",
    "9" * 400, "9" * 5000, "0x" + "f" * 5000, "1" * 400 + ".0",
]
PLAIN = [
    "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", "True", "NO", "2024-01-01",
    "2001-12-14t21:59:43.10-05:00", "=", "<<", "<<:", "-", "?", ":", "*", "&", "!", "%", "@", "`", "[]", "{}", "[[]]",
    "[{}]", "{[]}", "''", r'""', "[null]", "{a: 1}", "{a: 1, a: 2}", "{<<: {a: 1}}", "[1,2,3]", "[a,a]", "|", ">",
    "#", "---", "...", "{name: dot}", "{name: }", "{nam: dot}", "[1,1]", "{name: local-p, window: 3}",
    "{name: local-p, window: -1}", "{name: [x]}", "{name: dot, name: dot}", "{kind: rnn}", "{exact_match: 2}",
    "[1e6]", "{x}",
]
TAGGED = [
    "!!python/object/apply:os.system [ls]", "!!python/name:os.system", "!!python/tuple [1, 2]", "!!binary aGVsbG8=",
    "!!set {a, b}", "!!omap [a: 1]", "!!timestamp 2024-01-01", "!!int x", "!!int ''", "!!float 0x", "!!bool 3",
    "!!null x", "!!str 3", "!!map []", "!!seq {}", "!mine 3", "!<tag:yaml.org,2002:int> 3", "! 3", "&a 3", "*a",
    "&a [*a]", "&a {x: *a}",
]
# Escapes that only double quotes can write, quotes left open, and letters from afar.
QUOTED = [
    r'"\0"', r'"\uD800"', r'"\uD83D\uDE00"', r'"\e[2J"', r'"\u202Egnp.\x9B"', r'"a\nb"', r'"\q"', r'"\U00110000"',
    r'"\xZZ"', "'it''s'", "'open", r'"open', '\u202etxt', '\ufeffx', '\u2028', '\x85', "é", "😀", "日本",
    "[bold]x[/bold]", "[/]", "%s{}%(x)s",
    "x" * 300, "'" + "long " * 2000 + "'",
]
# The registered names, and such as a folder should not have.
COMPONENTS = [
    "dot", "additive", "general", "cosine", "location", "scaled_dot", "global", "local-p", "local-m", "none", "hard",
    "self", "copy", "reverse", "sort", "translate", "rnn", "lstmn", "transformer", "pointer", "ntm", "lstm", "gru",
    "previous", "current", "Dot", "COPY", "scaled-dot",
]
NAMES = [
    "../x", "a/../../b", "/etc/passwd", ".", "..", "~", "~/x", "-x", "--help", "-rf", "CON", "nul", "aux.txt", "COM1",
    "a.", "mlflow.db", "MLFLOW.DB", "mlartifacts", "mlflow.db-journal", "baselines", "Default", "a?b", "a*b", "a\\b",
    "a:b", "file:///x", "sqlite:///x", "${HOME}", "$(ls)", ".hidden", "g", "0", "007", "a%20b", "'a '", "' a'", "a b",
    "'?'", "'*'", "'a\\tb'",
]
# What the yard lays beside the grid file, and what is not there.
PATHS = [
    "pairs.tsv", "empty.tsv", "binary.tsv", "latin.tsv", "folder", "folder/", "pipe", "loop", "dangling", "endless",
    "/dev/zero", "/dev/null", "/dev/stdin", "/proc/self/mem", "missing.tsv", "../missing", ".", "..", "/", "~",
    "good.py", "broken.py", "raises.py", "exits.py", "binary.py", "folder.py", "pipe.py", "loop.py", "missing.py",
    "no_such_module", "no.such.module", "..relative", ".py", "grid.yaml", r'"\0.py"', "''", "' '",
    "'" + "x" * 300 + ".py'", "'" + "y/" * 3000 + "'",
]
# Values that often fit.
MILD = [
    "0", "1", "2", "3", "-1", "0.5", "1e-3", "999", "1000000", "1000000000", "9223372036854775807", "true", "null",
    "x", "[1, 2]", "{name: local-p, window: 3}", "{name: sort, distinct: false}", "dot", "additive", "general",
    "cosine", "location", "scaled_dot", "global", "local-p", "local-m", "none", "hard", "self", "copy", "reverse",
    "sort", "translate", "rnn", "lstmn", "transformer", "pointer", "ntm", "lstm", "gru", "previous", "pairs.tsv",
    "empty.tsv", "binary.tsv", "endless", "good.py", "raises.py",
]
SECTIONS = [
    "name", "seeds", "grid", "zip", "exclude", "include", "model", "data", "train", "plugins", "max_cells",
]
FIELDS = [
    "score", "scope", "task", "seed", "seeds", "model", "model.kind", "model.width", "model.embedding", "model.cell",
    "model.query", "model.layers", "model.heads", "model.slots", "model.nix", "data.vocabulary",
    "data.unseen_symbols", "data.min_length", "data.max_length", "data.test_lengths", "data.test_examples",
    "data.path", "data.test_path", "train.steps", "train.batch_size", "train.learning_rate", "train.stop_at",
    "train.stop_at.exact_match", "train.valid_every", "score.hidden", "scope.window", "scope.width", "task.distinct",
    "window", "hidden", "data", "train", "grid.score", ".", "..", "a.", ".a", "model.", "data..path",
]
# fmt: on
SNIPPETS = [*NUMBERS, *PLAIN, *TAGGED, *QUOTED, *COMPONENTS, *NAMES, *PATHS]
KEYS = [*SECTIONS, *FIELDS, *(name.partition(".")[2] or name for name in FIELDS), "<<", "? a", "[a]", "{a: b}", "''"]
