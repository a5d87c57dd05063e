"""What is slow and happens once runs in a thread that nobody has to wait for."""

import asyncio
import subprocess
import sys
import threading

import pytest

from edge.workers import in_thread


def test_the_loop_goes_on_while_a_thread_works() -> None:
    release = threading.Event()

    def work_for_long() -> int:
        assert release.wait(10.0)
        return 7

    async def main() -> None:
        working = asyncio.ensure_future(in_thread(work_for_long))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not working.done()
        release.set()
        assert await working == 7

    asyncio.run(main())


@pytest.mark.parametrize("failure", [ValueError("wrong"), RuntimeError("ours"), SystemExit(3)])
def test_what_fails_in_a_thread_fails_here_as_it_is(failure: BaseException) -> None:
    def fail() -> None:
        raise failure

    async def main() -> BaseException:
        try:
            await in_thread(fail)
        except BaseException as met:
            return met
        raise AssertionError

    assert asyncio.run(main()) is failure


def test_who_no_longer_waits_is_not_told() -> None:
    release = threading.Event()

    async def main() -> None:
        problems: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        others = set(threading.enumerate())
        waiting = asyncio.ensure_future(in_thread(release.wait))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        release.set()
        for thread in set(threading.enumerate()) - others:
            thread.join(10.0)
        await asyncio.sleep(0)
        assert problems == []

    asyncio.run(main())


def test_the_end_of_the_process_does_not_wait_for_a_thread() -> None:
    code = "import asyncio, time\nfrom edge.workers import in_thread\n"
    code += "async def main():\n    asyncio.ensure_future(in_thread(lambda: time.sleep(600)))\n"
    code += "    await asyncio.sleep(0.1)\nasyncio.run(main())\n"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
