"""How scripts and their workers end."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

START = """
import os, signal, sys, time
from command_line import run_script
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
"""


def start(script, **options):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **options}
    environment.pop("LOCAL_RANK", None) if "LOCAL_RANK" not in options else None
    return subprocess.Popen(
        [sys.executable, "-c", START + textwrap.dedent(script)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_word(process):
    return process.stdout.readline().strip()


def is_alive(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ends(number, seconds=10):
    until = time.monotonic() + seconds
    while is_alive(number) and time.monotonic() < until:
        time.sleep(0.05)
    return not is_alive(number)


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_script_with_one_line(sent, status):
    process = start(
        """
        def main() -> None:
            try:
                print("ready", flush=True)
                time.sleep(60)
            except Exception:
                print("swallowed")
            except KeyboardInterrupt as error:
                error.add_note("the same command goes on")
                raise RuntimeError("a worker has ended")  # as torch does
        run_script(main)
        """
    )
    assert wait_for_word(process) == "ready"
    process.send_signal(sent)
    out, err = process.communicate(timeout=20)
    assert process.returncode == status
    assert (out, err) == ("", f"stopped by {sent.name}; the same command goes on\n")


def test_a_second_signal_ends_it_at_once_but_not_the_same_one_twice():
    process = start(
        """
        def main() -> None:
            try:
                print("ready", flush=True)
                time.sleep(60)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
                print("cleaning", flush=True)
                time.sleep(60)
        run_script(main)
        """
    )
    assert wait_for_word(process) == "ready"
    process.send_signal(signal.SIGTERM)
    assert wait_for_word(process) == "cleaning"
    time.sleep(1.1)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == 130


def test_what_a_script_was_started_to_ignore_stays_ignored():
    process = start(
        """
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        def main() -> None:
            os.kill(os.getpid(), signal.SIGINT)
            print("went on")
        run_script(main)
        """
    )
    assert process.communicate(timeout=20) == ("went on\n", "")


def test_a_forked_worker_leaves_ctrl_c_to_its_parent_and_takes_sigterm():
    process = start(
        """
        def main() -> None:
            child = os.fork()
            if child == 0:
                time.sleep(60)
                os._exit(0)
            time.sleep(0.2)
            os.kill(child, signal.SIGINT)
            time.sleep(0.2)
            print(os.waitpid(child, os.WNOHANG), flush=True)
            os.kill(child, signal.SIGTERM)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        run_script(main)
        """
    )
    assert process.communicate(timeout=20) == ("(0, 0)\n143\n", "")


def test_handlers_are_those_of_before_when_a_script_has_ended(monkeypatch):
    from command_line import run_script

    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    monkeypatch.setattr(sys, "argv", ["script"])
    with pytest.raises(SystemExit):
        run_script(lambda: None)
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_process_of_a_launcher_ends_with_it():
    process = start(
        """
        import subprocess
        child = '''
        import time
        from command_line import run_script
        run_script(lambda: time.sleep(60))
        '''
        environment = {**os.environ, "LOCAL_RANK": "1"}
        code = "\\n".join(line.strip() for line in child.splitlines())
        print(subprocess.Popen([sys.executable, "-c", code], env=environment).pid, flush=True)
        time.sleep(60)
        """
    )
    child = int(wait_for_word(process))
    time.sleep(1)
    process.kill()
    assert ends(child)
    process.communicate(timeout=20)


@pytest.mark.parametrize("to_all", [False, True])
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_spawned_worker_outlives_its_parent_or_complains(sent, to_all):
    process = start(
        """
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context
        from processes import start_worker
        def main() -> None:
            context = get_context("spawn")
            with ProcessPoolExecutor(2, context, start_worker, (os.getpid(),)) as pool:
                for each in pool.map(time.sleep, [0.05] * 1000):
                    print("ready", flush=True)
        run_script(main)
        """
    )
    assert wait_for_word(process) == "ready"
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 3  # two workers, and what watches over their semaphores
    if to_all:
        os.killpg(process.pid, sent)
    else:
        process.send_signal(sent)
    assert all(map(ends, children))
    _, err = process.communicate(timeout=20)
    if sent != signal.SIGKILL:
        assert err == f"stopped by {sent.name}\n"
        assert process.returncode == 128 + sent


def test_a_worker_that_is_told_to_ends_though_not_at_once():
    process = start(
        """
        from processes import start_worker
        start_worker(os.getppid())
        signal.alarm = lambda seconds: print(f"ends in {seconds}")
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        """
    )
    assert process.communicate(timeout=20) == ("ends in 30\n", "")
