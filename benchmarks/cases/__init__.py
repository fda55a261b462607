"""What is measured, by the letter under which it is reported; each case is a function of a ``worker.Setup``."""

from . import caller, delivery, large, memory, prompts, shapes, size

CASES = {
    "bare": caller.bare,
    "content": caller.content,
    "typical": caller.typical,
    "exporting": caller.exporting,
    "delivery": delivery.delivery,
    "queued": memory.queued,
    "burst": memory.burst,
    "flood": memory.flood,
    "prompts": prompts.prompts,
    "lengths": large.lengths,
    "large": large.large,
    "image": large.image,
    "shapes": shapes.shapes,
    "threads": shapes.threads,
    "size": size.size,
}
