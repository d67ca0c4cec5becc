"""Exceptions for errors that the user can fix.

    HarnessError                 exit code 3 unless it says otherwise
    ├── StudyFileError           exit code 2: the study file, or what it declares, is wrong
    ├── UsageError               exit code 2: an option, or a combination of options, is wrong
    ├── AuditFailed              exit code 2: the data have an error that would make every score worthless
    ├── StoreError               the store cannot be read or written
    │   ├── StoreLocked          exit code 2: another driver writes to it
    │   └── DamagedRecord        a record's file is not what was written
    ├── EnvironmentFailed    an environment for a comparison of library versions cannot be built or used
    ├── TestbedUnavailable       the base model, rows or test sets are not available
    ├── CheckFailed              exit code 1: a check of `harness doctor` found what it did not expect
    └── RunFailed                one run failed; this is recorded, and other runs continue
        ├── Diverged             the loss became NaN or infinite
        ├── FrozenLoss           a parameter of the loss itself did not change
        ├── FrozenModel          no parameter of the model changed
        ├── UnsuitableDevice     exit code 2: the device cannot compute in the precision that was asked for
        ├── TokensWanted         the loss reads outputs that the fast path omits: the run uses the plain path
        └── OutOfMemory          the point does not fit the device: infeasible, not a crash

Every message says what failed, where, and how to fix it.
"""


class HarnessError(Exception):
    """Base of all errors that are reported without a traceback."""

    exit_code = 3


class StudyFileError(HarnessError):
    """A study file cannot be loaded, or what it declares contradicts itself."""

    exit_code = 2


class UsageError(HarnessError):
    """An option, or a combination of options, makes no sense."""

    exit_code = 2


class AuditFailed(HarnessError):
    """The audit of the data found errors; nothing was trained."""

    exit_code = 2


class StoreError(HarnessError):
    """The store cannot be read or written."""


class StoreLocked(StoreError):
    """Another driver holds the store."""

    exit_code = 2


class DamagedRecord(StoreError):
    """A record's file is truncated, altered or of an unknown form."""


class EnvironmentFailed(HarnessError):
    """An environment for a comparison of library versions cannot be built or used."""


class TestbedUnavailable(HarnessError):
    """A base model, training rows or a test set is neither in the cache nor on a reachable hub."""

    __test__ = False  # pytest would collect it by its name


class CheckFailed(HarnessError):
    """A check of `harness doctor` found something else than it expects of the installed libraries."""

    exit_code = 1


class RunFailed(HarnessError):
    """One run failed."""


class Diverged(RunFailed):
    """The training loss became NaN or infinite."""


class FrozenLoss(RunFailed):
    """A parameter of the loss itself did not change during training."""


class FrozenModel(RunFailed):
    """No parameter of the model changed during training: its scores would be those of the untrained model."""


class OutOfMemory(RunFailed):
    """The point does not fit into the device's memory."""


class UnsuitableDevice(RunFailed):
    """The device cannot compute in the precision that was asked for."""

    exit_code = 2


class TokensWanted(RunFailed):
    """A loss reads outputs of the forward pass that the fast path does not compute."""
