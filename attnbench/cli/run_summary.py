"""What a run prints before each of its stages: how many cells there are, and how many are trained."""

from collections import Counter

from attnbench.cli.run_status import RunStatus
from attnbench.messages import count
from attnbench.runner import Planned
from attnbench.store.status import DONE, FAILED, STALE, stale_note


def plan_summary(status: RunStatus) -> str:
    """Returns how many cells the grid has, how many will be trained, and how many are kept in which state."""
    planned = status.planned
    plan, packs = planned.plan, planned.packs
    trained = {cell for pack in packs for cell in pack.ids}
    states = [(planned.states[cell.id], cell.id in trained) for cell in plan.trained if cell.id not in planned.reused]
    kept = Counter(state.name for state, again in states if not again)
    changed = Counter(state.reason for state, again in states if again and state.name == STALE)
    facts = [f"{plan.name}: {_counted(planned)}"]
    if plan.waiting and not plan.is_tuning:
        facts.append(f"{len(plan.waiting)} wait for a decision")
    facts += [f"{len(plan.unneeded)} not needed"] if plan.unneeded else []
    facts += [f"{kept[DONE]} done before"] if kept[DONE] else []
    facts += [f"{len(planned.reused)} reused"] if planned.reused else []
    unchanged = Counter(state.reason for state, again in states if not again and state.name == STALE)
    facts += [f"{stale_note(number, reason)} and kept" for reason, number in unchanged.items()]
    facts += [f"{kept[FAILED]} failed before (--retry-failed trains them again)"] if kept[FAILED] else []
    if packs:
        facts.append(f"{len(trained)} to train in {count(len(packs), 'pack')} on {count(planned.workers, 'worker')}")
        facts += [f"of them {stale_note(number, reason)}" for reason, number in changed.items()]
    else:
        facts.append("nothing to train")
    return ", ".join(facts)


def _counted(planned: Planned) -> str:
    """Returns how many cells the grid has; with `decide`, those of all seeds that may be needed."""
    plan, at_most = planned.plan, "at most " if planned.stage and planned.stage.decides else ""
    if plan.tuned:
        return f"{at_most}{count(len(plan.reported), 'reported cell')} and {len(plan.tuning)} of tuning"
    return f"{at_most}{count(len(plan.reported), 'cell')}"


def stage_summary(planned: Planned) -> str:
    """Returns what is trained next, in a grid whose later cells depend on earlier results."""
    cells, packs = sum(len(pack.ids) for pack in planned.packs), len(planned.packs)
    name = (planned.stage.name if planned.stage else "") or "candidates chosen"
    if not packs:
        return f"{name}: nothing more to train"
    return f"{name}: {count(cells, 'cell')} more to train in {count(packs, 'pack')}"
