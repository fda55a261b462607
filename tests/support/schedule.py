"""A random life of some programs in a simulated world, drawn from a seed. At its end is peace, and all has arrived."""

from __future__ import annotations

from cozeloop_lite.trace.account import QUEUE_FULL
from cozeloop_lite.trace.pace import SECONDS_PER_BYTE, SILENT_SECONDS, UNREACHED_SECONDS
from cozeloop_lite.trace.queue import MARGIN_SECONDS
from cozeloop_lite.trace.record import START_NS
from cozeloop_lite.trace.sender import POLL_SECONDS

from .world import MOMENT, PASSING, REFUSING, REQUEST_BYTES, REQUEST_COUNT, World

HOUR = 3600.0
PEACE = 900.0  # seconds in which everything arrives by itself, when nothing goes wrong any more
IDLE = 300.0
IDLE_TICKS = 60  # looks at the clock in that time


class Schedule:
    """What happens, and what must hold for it."""

    def __init__(self, seed):
        self.world = World(seed)
        self._simulation = self.world.simulation
        self._random = self.world.random
        choice = self._random.choice
        self._max_bytes = choice([300, 3000, 20_000, 1_000_000])
        self._sizes = choice([(1, 50), (1, 50), (1, 2500)])
        self._weight = choice([1, 1, 3])
        self._rates = {name: choice([0.0, 0.0, 0.02, 0.3]) for name in ("bad", "broken", "old")}
        self._rates["files"] = choice([0.0, 0.0, 0.3])
        self._lasts = choice([3.0, 30.0, 300.0])
        self._pure = self._random.random() < 0.5  # nothing refuses good spans
        self._starts = {
            "max_count": choice([1, 2, 5, 20, 60]),
            "max_bytes": self._max_bytes,
            "batch_count": choice([1, 2, 7, 20, 100]),
            "shutdown_timeout": choice([0.0, 0.5, 5.0, 5.0, 5.0]),
            "spool": self._random.random() < 0.5,
        }

    def run(self):
        simulation = self._simulation
        simulation.say("%s", self._starts)
        program = self.world.start_program(**self._starts)
        program.no_threads = self._random.random() < 0.15
        simulation.between = self._between
        for _ in range(self._random.randint(3, 14)):
            simulation.at(self._random.random() * self._lasts, self._choose())
        simulation.run(self._lasts)
        self._peace()
        self._close_all()
        if self._starts["spool"]:
            self._next_client()
        simulation.finish()

    # -- what may happen --------------------------------------------------------------------------------------------

    def _choose(self):
        chances = [
            (40, [self._burst]),
            (10, [self._flush]),
            (12, [self._burst, self._flush]),
            (25, [self._mood]),
            (4, [self._freeze]),
            (5, [self._fork]),
            (5, [self._threads]),
            (3, [self._disk]),
            (5, [self._surprise]),
            (3, [self._close]),
            (2, [self._burst, self._close]),
            (2, [self._exit]),
            (4, [self._mood, self._burst, self._exit]),
            (1, [self._kill]),
        ]
        steps = self._random.choices([steps for _, steps in chances], [chance for chance, _ in chances])[0]
        return lambda: [step() for step in steps]

    def _program(self):
        alive = [program for program in self.world.programs if not program.ended]
        return self._random.choice(alive) if alive else None

    def _span(self):
        random, rates = self._random, self._rates
        how = {"size": random.randint(*self._sizes), "weight": self._weight}
        if random.random() < rates["bad"]:
            how["bad"] = True
        if random.random() < rates["broken"]:
            how["broken"] = True
        if random.random() < rates["old"]:
            how["age"] = random.choice([22.9, 23.0, 25.0]) * HOUR
        if random.random() < rates["files"]:
            how["files"] = [random.randint(1, 2000) for _ in range(random.randint(1, 3))]
        return how

    def _between(self):
        program = self._program()
        if program is not None:
            program.finish_span(**self._span())

    def _burst(self):
        program = self._program()
        if program is None:
            return
        count = self._random.randint(1, 30)
        self._simulation.say("%s finishes %d spans", program, count)
        for _ in range(count):
            program.finish_span(**self._span())

    def _mood(self):
        failures = PASSING if self._pure else PASSING + REFUSING
        choose = self._random.choice
        one = choose(failures)
        self.world.server.mood = choose([["ok"], [one], ["ok", one], ["ok", one], ["ok", *failures]])
        self.world.server.most = choose([1, 3, REQUEST_COUNT, REQUEST_COUNT, REQUEST_COUNT])
        self._simulation.say("the server: %s", self.world.server.mood)

    def _freeze(self):
        seconds = self._random.choice([60.0, HOUR, 30 * HOUR])
        both = self._random.random() < 0.7
        self._simulation.say("frozen for %g s" % seconds)
        self.world.freeze(seconds if both else 0.0, seconds if both else self._random.choice([-1, 1]) * seconds)

    def _fork(self):
        program = self._program()
        if program is not None and len(self.world.programs) < 4:
            self._simulation.say("%s forks", program)
            self.world.fork(program)

    def _threads(self):
        program = self._program()
        if program is not None:
            program.no_threads = not program.no_threads
            self._simulation.say("%s can%s start threads", program, "not" if program.no_threads else "")

    def _disk(self):
        self.world.disk_is_full = not self.world.disk_is_full

    def _surprise(self):
        program = self._program()
        if program is not None:
            program.surprise = self._random.choice(
                [lambda: self._flushes(program, 1.0, True), lambda: self._closes(program, 1.0, True), self._between]
            )

    def _flush(self):
        program = self._program()
        if program is not None:
            timeout = self._random.choice([0.0, 0.01, 0.5, 1.0, 3.0, 10.0, 60.0])
            program.spawn(lambda: self._flushes(program, timeout))

    def _close(self):
        program = self._program()
        if program is not None:
            timeout = self._random.choice([None, None, 0.0, 0.5, 5.0, 60.0])
            program.spawn(lambda: self._closes(program, timeout))

    def _exit(self):
        program = self._program()
        if program is not None and program.exit_thread is None:
            program.exit_thread = program.spawn(lambda: self._exits(program))

    def _kill(self):
        program = self._program()
        if program is not None:
            self._simulation.say("%s is killed", program)
            program.end()

    # -- what must hold for it --------------------------------------------------------------------------------------

    def _with_a_chance(self, program):
        """The spans that wait, but for those that are lost in no time, perhaps just before a flush looks."""
        world = self.world
        return [number for number in program.open_numbers() if not world.is_lost(world.spans[number])]

    def _flushes(self, program, timeout, sending_here=False):
        world, simulation, queue = self.world, self._simulation, program.queue
        began, frozen, lost = simulation.now, world.frozen, queue._lost()
        waiting, closing = self._with_a_chance(program), program.closing
        done = queue.flush(timeout)
        took = simulation.now - began - (world.frozen - frozen)
        simulation.say("%s, flush(%g) of %s: %s after %.3f s", program, timeout, waiting, done, took)
        closed_meanwhile = program.closing and not closing  # and that, by a callback on this thread, takes its time
        assert took <= timeout + MOMENT or closed_meanwhile, "flush(%g) took %g s" % (timeout, took)
        assert took <= MOMENT or not sending_here, "a callback waits for itself"
        if done and simulation.now > began:  # else they may have had their fate before it looked
            waiting = [number for number in waiting if world.let_go_at.get(number) != began]
            missing = set(waiting) - program.told
            assert not missing, "flush said that these were delivered: %s" % missing
            files = {key for number in waiting for key in world.spans[number].files} - program.files_told
            assert not files, "flush said that these files were delivered: %s" % files
        if not done and not sending_here and queue._lost() == lost and not queue._ending:
            assert simulation.now - began >= timeout - MOMENT, "flush(%g) gave up after %g s" % (timeout, took)

    def _closes(self, program, timeout, sending_here=False):
        world, simulation, queue = self.world, self._simulation, program.queue
        first, program.closing = not program.closing, True
        began, frozen = simulation.now, world.frozen
        waiting = self._with_a_chance(program)
        allowed = queue._shutdown_timeout if timeout is None else timeout
        simulation.say("%s, close(%s) of %s", program, timeout, waiting)
        done = queue.close(timeout)
        took = simulation.now - began - (world.frozen - frozen)
        simulation.say("%s, close(%s): %s after %.3f s", program, timeout, done, took)
        assert took <= allowed + MARGIN_SECONDS + MOMENT, "close(%g) took %g s" % (allowed, took)
        if not first:
            return
        program.closed_inside = sending_here
        program.silent_from = simulation.now + (allowed if sending_here else MOMENT)
        if done and simulation.now > began:  # else they may have had their fate before it looked
            missing = {number for number in waiting if world.let_go_at.get(number) != began} - program.told
            assert not missing, "close said that these were delivered: %s" % missing

    def _exits(self, program):
        world, simulation, queue = self.world, self._simulation, program.queue
        began, frozen = simulation.now, world.frozen
        mood, size, waits = list(world.server.mood), program.bytes_open(), program.waits
        simulation.say("%s exits", program)
        queue._on_exit_hurry()
        queue._on_exit()
        took = simulation.now - began - (world.frozen - frozen)
        simulation.say("%s, exit: after %.3f s", program, took)
        assert took <= queue._shutdown_timeout + MOMENT, "the exit took %g s" % took
        if world.server.mood == mood == ["silent"] and not program.closing and not waits:
            silence = SILENT_SECONDS + max(size, REQUEST_BYTES) * SECONDS_PER_BYTE + MARGIN_SECONDS + POLL_SECONDS
            assert took <= silence, "the exit waited %g s for a silent server" % took
        if world.server.mood == mood == ["refused"] and not program.closing and not waits:
            assert took <= UNREACHED_SECONDS + MARGIN_SECONDS + POLL_SECONDS, "the exit waited %g s for nobody" % took
        for _ in range(self._random.choice([0, 0, 1, 3])):  # exit hooks that run after ours
            program.finish_span(**self._span())
            took = simulation.now - began - (world.frozen - frozen)
            assert took <= queue._shutdown_timeout + MOMENT or program.closing, "an exit hook took %g s" % took
        program.end()

    # -- the end ----------------------------------------------------------------------------------------------------

    def _peace(self):
        """Nothing goes wrong any more: without a flush, everything arrives by itself."""
        world, simulation = self.world, self._simulation
        simulation.say("peace")
        simulation.between = None
        world.server.mood, world.server.most, world.disk_is_full = ["ok"], REQUEST_COUNT, False
        for program in world.programs:
            program.no_threads, program.surprise = False, None
            if not program.ended:
                program.finish_span(size=1)
        simulation.run(PEACE)
        for program in world.programs:
            if not program.ended:
                world.check_rest(program)
                program.finish_span(size=1)
        simulation.run(PEACE)
        ticks = simulation.ticks
        simulation.run(IDLE)
        assert simulation.ticks - ticks <= IDLE_TICKS * len(world.programs), "somebody is busy with nothing"

    def _close_all(self):
        world = self.world
        for program in world.programs:
            if not program.ended and not program.closing:
                overflow = program.queue._account.refused(QUEUE_FULL)
                assert program.overflow_told == overflow, "%d, told of %d" % (overflow, program.overflow_told)
                program.spawn(lambda program=program: self._closes(program, 60.0))
        self._simulation.run(100)
        for program in world.programs:
            if not program.ended:
                world.check_rest(program)
                assert not program.queue._alive(), "a thread is left behind"
                held = [file for file in world.disk if program in (file.writer, file.taker)]
                assert not held or program.closed_inside, "a closed client keeps others from its files"
        if self._pure:
            for program in world.programs:
                bad = sum(span.bad for span in world.spans[1:])
                assert program.queue.dropped("refused") <= bad, "a good span was taken for a bad one"

    def _next_client(self):
        """What is in the spool is sent by the next program."""
        world, simulation = self.world, self._simulation
        for program in world.programs:
            program.end()
        simulation.say("the next program")
        program = world.start_program(spool=True)
        program.finish_span()
        simulation.run(10 * len(world.spans))
        assert not world.disk, "left in the spool: %s" % world.disk
        latest = max(world.latest, simulation.wall)
        for number in world.kept - world.server.told:
            span = world.spans[number]
            assert span.bad or latest - span[START_NS] / 1e9 > 22 * HOUR, "span %d was kept in vain" % number
        program.spawn(lambda: self._closes(program, 60.0))
        simulation.run(100)
        world.check_rest(program)
