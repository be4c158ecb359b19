"""The command `interop/run`: chooses scenarios, runs them, reports."""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import fnmatch
import json
import os
import pathlib
import shutil
import signal
import sys
import threading
import time

from . import net, setup
from .lab import Environment, Lab
from .outcome import Cancelled, Failed, Skipped
from .payload import Payloads
from .scenarios import Scenario, all_scenarios


INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


@dataclasses.dataclass(frozen=True)
class Result:
    """How one scenario went."""

    scenario: str
    result: str  # passed, failed, skipped
    seconds: float
    detail: str


def main() -> int:
    """Runs the command and gives its exit code."""
    arguments = _arguments()
    scenarios = _chosen(arguments)
    if arguments.list:
        print("\n".join(scenario.name for scenario in scenarios))
        return 0
    if not scenarios:
        _say(f"no scenario matches {arguments.only}")
        return 2
    for number in INTERRUPTS:
        signal.signal(number, _interrupt)
    environment, results, interrupted = None, [], False
    try:
        environment = _prepare(arguments)
        results, interrupted = _run_all(scenarios, environment, arguments)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        if environment and not arguments.keep:
            shutil.rmtree(environment.root / "payloads", ignore_errors=True)
            if not any(environment.root.iterdir()):
                environment.root.rmdir()
    if interrupted:
        _say("interrupted")
    _print(results, arguments.json)
    if interrupted:
        return 130
    return 1 if any(result.result == "failed" for result in results) else 0


def _interrupt(*_: object) -> None:
    # Cleaning up takes a moment: a second signal must not cut it short.
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="interop/run", description="Runs rustor against other BitTorrent clients.")
    parser.add_argument("--only", metavar="PATTERN", action="append", help="scenarios with this text or glob in their name")
    parser.add_argument("--list", action="store_true", help="name the scenarios and stop")
    parser.add_argument("--quick", action="store_true", help="small payloads and fewer combinations, for CI")
    parser.add_argument("--self-test", action="store_true", help="test the lab itself: the other clients among themselves")
    parser.add_argument("--size", metavar="MIB", type=int, help="size of the large payload (64, or 8 with --quick)")
    parser.add_argument("--jobs", metavar="N", type=int, default=4, help="scenarios at the same time (4)")
    parser.add_argument("--loopback", action="store_true", help="no network namespaces even where root allows")
    parser.add_argument("--json", action="store_true", help="results as JSON on standard output, the table on standard error")
    parser.add_argument("--keep", action="store_true", help="keep logs and data of scenarios that passed, too")
    return parser.parse_args()


def _chosen(arguments: argparse.Namespace) -> list[Scenario]:
    def wanted(name: str) -> bool:
        return not arguments.only or any(fnmatch.fnmatch(name, f"*{pattern}*") for pattern in arguments.only)

    found = all_scenarios(arguments.quick)
    return [item for item in found if item.rustor != arguments.self_test and wanted(item.name)]


def _prepare(arguments: argparse.Namespace) -> Environment:
    target = setup.target()
    modules = target / "interop" / f"python-{sys.version_info.major}.{sys.version_info.minor}"
    modules.parent.mkdir(parents=True, exist_ok=True)
    setup.install(modules, _say)
    binary = example = pathlib.Path("/nonexistent")
    if not arguments.self_test:
        binary = setup.build(target, _say)
        if any(scenario.name.startswith("adapters/") for scenario in _chosen(arguments)):
            example = setup.build_example(target, _say)
    net.remove_stale()
    _remove_stale_runs(modules.parent)
    namespaces = not arguments.loopback and net.namespaces_work()
    _say("each client in a network namespace of its own" if namespaces else f"no namespaces: all clients at {net.own_address()}")
    root = target / "interop" / f"run-{os.getpid()}"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    return Environment(
        root=root,
        binary=binary,
        example=example,
        modules=modules,
        payloads=Payloads(root / "payloads"),
        namespaces=namespaces,
        quick=arguments.quick,
        large_mib=arguments.size or (8 if arguments.quick else 64),
        cancelled=threading.Event(),
    )


def _remove_stale_runs(folder: pathlib.Path) -> None:
    for run in folder.glob("run-*"):
        if not pathlib.Path(f"/proc/{run.name.removeprefix('run-')}").exists():
            shutil.rmtree(run, ignore_errors=True)


def _run_all(scenarios: list[Scenario], environment: Environment, arguments: argparse.Namespace) -> tuple[list[Result], bool]:
    results, interrupted = [], False
    with concurrent.futures.ThreadPoolExecutor(max_workers=arguments.jobs) as pool:
        futures = [pool.submit(_run, scenario, environment, arguments.keep) for scenario in scenarios]
        try:
            for future in concurrent.futures.as_completed(futures):
                if result := future.result():
                    results.append(result)
                    _say(f"{result.result:8}{result.seconds:6.1f} s  {result.scenario}  {result.detail}".rstrip())
        except KeyboardInterrupt:
            interrupted = True
            environment.cancelled.set()
            pool.shutdown(wait=True, cancel_futures=True)
    order = {scenario.name: number for number, scenario in enumerate(scenarios)}
    return sorted(results, key=lambda result: order[result.scenario]), interrupted


def _run(scenario: Scenario, environment: Environment, keep: bool) -> Result | None:
    start = time.monotonic()
    lab, outcome, detail = None, "failed", ""
    try:
        lab = Lab(environment, scenario.name, scenario.seconds)
        detail = scenario.run(lab) or ""
        panicked = [process.name for process in lab.processes if "panicked" in process.stderr]
        if panicked:
            raise Failed(f"panicked: {', '.join(panicked)}")
        outcome = "passed"
    except Skipped as reason:
        outcome, detail = "skipped", str(reason)
    except Cancelled:
        return None
    except Failed as reason:
        detail = str(reason)
    except Exception as error:  # a mistake of the lab must not end the run
        detail = f"{type(error).__name__}: {error}"
    finally:
        if lab:
            seconds = time.monotonic() - start
            failed = outcome == "failed" and not environment.cancelled.is_set()
            if failed:
                _say(f"\n=== {scenario.name}: {detail}\n{lab.report()}\n=== logs: {lab.logs}\n")
            lab.close(keep=keep or failed)
            if failed and not keep:
                _drop_all_but_logs(lab)
    detail = detail.replace(f"{lab.directory}/", "") if lab else detail
    return Result(scenario.name, outcome, round(seconds if lab else 0.0, 1), detail)


def _drop_all_but_logs(lab: Lab) -> None:
    for entry in lab.directory.iterdir():
        if entry != lab.logs and entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)


def _print(results: list[Result], as_json: bool) -> None:
    stream = sys.stderr if as_json else sys.stdout
    if as_json:
        print(json.dumps([dataclasses.asdict(result) for result in results], indent=2, ensure_ascii=False))
    width = max([len(result.scenario) for result in results], default=8)
    print(f"\n{'scenario':{width}}  {'result':8}{'seconds':>8}", file=stream)
    for result in results:
        reason = f"  {result.detail}" if result.result != "passed" and result.detail else ""
        print(f"{result.scenario:{width}}  {result.result:8}{result.seconds:8.1f}{reason}", file=stream)
    count = {kind: sum(result.result == kind for result in results) for kind in ("passed", "failed", "skipped")}
    print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped", file=stream, flush=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
