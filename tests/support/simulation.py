"""A machine whose time is a number and whose threads take turns: what happens depends on a seed, and takes no time.

:class:`Simulation` has what :class:`cozeloop_lite.trace.machine.Machine` has. A simulated thread runs until it waits;
then whatever is due next happens, on the spot when it is a function of the agenda, by handing over to another thread
when that one is due. When nothing is due, time jumps to the next date of the agenda. Each look at a clock and each
entrance to a lock is a place where others may come in between, as the seed decides.
"""

from __future__ import annotations

import heapq
import threading
from random import Random

STARTED = 1000.0  # seconds
TICKS = 300_000  # looks at the clock in one simulation; more of them is a thread that spins


class Over(BaseException):
    """Ends the threads that are left when a simulation is over."""


class Thread:
    """As much of ``threading.Thread`` as is needed."""

    def __init__(self, simulation, target=None, name=""):
        self._simulation = simulation
        self._target = target
        self.name = name
        self.ident = simulation.number()
        self.locks = 0  # that it holds
        self.turn = 0  # counts its waits, so that a late alarm clock is told from one in time
        self.woken = False
        self.frozen = False  # it stands still for ever, as the threads of a process that has ended
        self.baton = None  # released when it is its turn
        self._alive = False
        self._joining = []

    def __deepcopy__(self, memo):
        return self

    def start(self):
        simulation = self._simulation
        worker = _Worker.idle.pop() if _Worker.idle else _Worker()
        worker.thread, self.baton = self, worker.baton
        self._alive = True
        simulation.threads.append(self)
        simulation.runnable.append(self)

    def is_alive(self):
        return self._alive

    def join(self, timeout=None):
        if self._alive:
            waiting = self._simulation.current
            self._joining.append(waiting)
            self._simulation.park(timeout)
            self._joining.remove(waiting)

    def run(self, worker):
        """On a real thread. Returns whether that one is good for another."""
        simulation = self._simulation
        try:
            if not simulation.over:
                self._target()
        except Over:
            pass
        except BaseException as problem:
            simulation.fail(problem)
        self._alive = False
        if simulation.over:
            sound = simulation.failure is None
            if sound:
                _Worker.idle.append(worker)
            simulation.ended.release()
            return sound
        for thread in self._joining:
            simulation.wake(thread)
        simulation.threads.remove(self)
        _Worker.idle.append(worker)  # before another has its turn, which may need one
        try:
            simulation.go_on(None)
        except Over:
            pass
        return True


class _Worker:
    """A real thread that lends itself to simulated ones, one after the other: to start one each time would be slow."""

    idle: list[_Worker] = []

    def __init__(self):
        self.baton = _locked()
        self.thread = None
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self):
        sound = True
        while sound:
            self.baton.acquire()
            thread, self.thread = self.thread, None
            sound = thread is not None and thread.run(self)


def dismiss_workers():
    """End the real threads, which would else wait for the next simulation."""
    while _Worker.idle:
        _Worker.idle.pop().baton.release()


def _locked():
    lock = threading.Lock()
    lock.acquire()
    return lock


class Lock:
    """As much of ``threading.Lock`` as an alarm needs."""

    def __init__(self, simulation):
        self._simulation = simulation
        self._locked = False
        self._waiting = []

    def __deepcopy__(self, memo):
        return self

    def acquire(self, blocking=True, timeout=-1):
        simulation = self._simulation
        end = None if timeout < 0 else simulation.now + timeout
        while self._locked:
            left = None if end is None else end - simulation.now
            if left is not None and left <= 0:
                return False
            me = simulation.current
            self._waiting.append(me)
            try:
                simulation.park(left)
            finally:
                self._waiting.remove(me)
        self._locked = True
        return True

    def release(self):
        if not self._locked:
            raise RuntimeError("release unlocked lock")
        self._locked = False
        if self._waiting:
            self._simulation.wake(self._simulation.random.choice(self._waiting))


class Condition:
    """As much of ``threading.Condition`` as is needed, and of its lock. No turn ends while it is held."""

    def __init__(self, simulation):
        self._simulation = simulation
        self._owner = None
        self._depth = 0
        self._waiting = []

    def __deepcopy__(self, memo):
        return self

    def __enter__(self):
        simulation = self._simulation
        simulation.tick()
        if self._owner not in (None, simulation.current):
            simulation.blame("a turn ended with the lock held")
        self._owner = simulation.current
        self._owner.locks += 1
        self._depth += 1

    def __exit__(self, *exc_info):
        self._owner.locks -= 1
        self._depth -= 1
        if not self._depth:
            self._owner = None

    def wait(self, timeout=None):
        me, depth = self._owner, self._depth
        self._owner, self._depth = None, 0
        me.locks -= depth
        self._waiting.append(me)
        try:
            self._simulation.park(timeout)
        finally:
            self._waiting.remove(me)
            self._owner, self._depth = me, depth
            me.locks += depth

    def notify_all(self):
        for thread in self._waiting:
            self._simulation.wake(thread)


class Simulation:
    """The machine, and what happens on it.

    Attributes:
        now, wall: its clocks, in seconds.
        random: decides whatever is not decided.
        between: called at random places in the middle of what a thread does, with no lock held; None for never.
        check: called whenever something has happened.
        log: what happened, and when, as lines.
    """

    def __init__(self, seed):
        self.random = Random(seed)
        self.now = STARTED
        self.wall = 1_700_000_000.0
        self.between = None
        self.check = lambda: None
        self.log = []
        self.ticks = 0
        self.over = False
        self._finished = False
        self.failure = None
        self.ended = threading.Semaphore(0)
        self.runnable = []
        self.threads = []
        self._agenda = []
        self._count = 0
        self._next_between = self.random.randrange(1, 40)
        self._script = Thread(self, name="script")  # the real thread that runs the simulation
        self._script.baton = _locked()
        self._script_ident = threading.get_ident()
        self._outside = Thread(self, name="outside")  # who does what the agenda says
        self.current = self._script

    # -- the machine ------------------------------------------------------------------------------------------------

    def monotonic(self):
        self.tick()
        return self.now

    def time(self):
        self.tick()
        return self.wall

    def Lock(self):  # the names in threading
        return Lock(self)

    def RLock(self):
        return Condition(self)

    def Condition(self, lock):
        return lock

    def get_ident(self):
        return self.current.ident

    def current_thread(self):
        return self.current

    # -- what a schedule may do -------------------------------------------------------------------------------------

    def at(self, seconds, function):
        """Call ``function`` in so many seconds. It must not wait."""
        heapq.heappush(self._agenda, (self.now + seconds, self.number(), function, None, 0))

    def sleep(self, seconds):
        """Let ``seconds`` pass."""
        self.park(seconds)

    def jump(self, seconds, wall_seconds):
        """The machine was frozen, or its clock was set."""
        self.now += seconds
        self.wall += wall_seconds

    def say(self, text, *args):
        self.log.append("%10.3f  %s" % (self.now - STARTED, text % args))

    def run(self, seconds):
        """For the script: let ``seconds`` pass, and raise what went wrong meanwhile."""
        self.park(seconds)
        if self.failure is not None:
            self.finish()

    def finish(self):
        """End what is left of the threads; raise what went wrong."""
        if self._finished:
            return
        self._finished = True
        failed, self.over, self._next_between = self.over, True, 0
        for thread in list(self.threads):
            if not failed or thread is not self._failed_on:
                thread.baton.release()
            self.ended.acquire()
        if self.failure is not None:
            raise self.failure

    # -- turns ------------------------------------------------------------------------------------------------------

    def number(self):
        self._count += 1
        return self._count

    def tick(self):
        self.ticks += 1
        if self.ticks >= self._next_between:
            self._come_between()

    def _come_between(self):
        if self.over:
            self._end_here()
            return
        if self.ticks > TICKS:
            self.blame("a thread spins: %s" % self.current.name)
        self._next_between = self.ticks + self.random.randrange(1, 80)
        me = self.current
        if me.locks or me is self._outside or me is self._script:
            return
        if self.runnable and self.random.random() < 0.5:
            self.runnable.append(me)
            self.go_on(me)
        elif self.between is not None:
            self._happen(self.between, me)

    def _happen(self, function, me):
        """``function`` is called by nobody in particular, on the stack of ``me``."""
        self.current = self._outside
        try:
            function()
            self.check()
        except BaseException as problem:
            self.fail(problem, me)
        self.current = me
        if self.over:
            self._end_here()

    def fail(self, problem, thread=None):
        """The simulation ends, and the script raises ``problem``."""
        if self.over:
            return
        self.failure, self.over, self._next_between = problem, True, 0
        self._failed_on = thread or self.current
        if threading.get_ident() != self._script_ident:
            self._script.baton.release()

    def blame(self, text):
        """A rule was broken: the simulation ends here, whatever the code that is under test catches."""
        self.fail(AssertionError(text))
        raise Over

    def _end_here(self):
        if threading.get_ident() != self._script_ident:
            raise Over

    def wake(self, thread):
        if not thread.woken and not thread.frozen:
            thread.woken = True
            self.runnable.append(thread)

    def park(self, seconds):
        """The current thread waits until it is woken, or for ``seconds``."""
        if self.over:
            self._end_here()
        me = self.current
        if me is self._outside:
            self.blame("what happens on the agenda must not wait")
        me.woken = False
        me.turn += 1
        if seconds is not None:
            heapq.heappush(self._agenda, (self.now + max(0.0, seconds), self.number(), None, me, me.turn))
        self.go_on(me)

    def go_on(self, me):
        """Whatever is due happens, until it is the turn of ``me``; or, when that is None, of any thread."""
        while not self.over:
            if self.runnable:
                count = len(self.runnable)
                thread = self.runnable.pop(self.random.randrange(count) if count > 1 else 0)
                if thread.frozen:
                    continue
                self.current = thread
                if thread is me:
                    return
                thread.baton.release()
                if me is not None:
                    me.baton.acquire()
                    break
                return
            if not self._agenda:
                self.fail(AssertionError("everybody waits for ever"), me)
                break
            date, _, function, thread, turn = heapq.heappop(self._agenda)
            if date > self.now:
                self.wall += date - self.now
                self.now = date
            if function is not None:
                self._happen(function, me)
            elif thread.turn == turn:
                self.wake(thread)
        if self.over:
            self._end_here()
