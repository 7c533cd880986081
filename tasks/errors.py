"""What can go wrong, as one tree. Every message names the object and the limit; every error carries a cure.

LightboxError
├── ConfigError            a setting that cannot be honoured (unknown backbone, unknown key)
├── DataError              the images or their labels
│   ├── StoreUnreachable   the store does not answer
│   ├── AccessDenied       the store answers, the credentials are wrong or missing
│   ├── StoreEmpty         no image under the URL
│   ├── ManifestMismatch   the manifest and the store do not fit together
│   ├── TooManyRejects     more unusable images than `max_reject_fraction` allows
│   └── DataSetUnusable    too few classes or images to train and evaluate honestly
├── LeakageError           an image would be both learnt from and reported on
├── WorkspaceError         the workspace cannot be read, written or agreed upon
├── WeightsUnavailable     pretrained weights cannot be had
├── TrainingError          training cannot go on (loss not finite, out of memory at batch size 1)
├── ComputeUnavailable     no worker came online, or the training on a work pool ended badly
├── ExportError            the exported graph does not reproduce the network
├── BundleError            a bundle is missing, damaged or of another schema
├── RegistryError          unknown model, version or alias
├── PipelineError          a pipeline's document that cannot be read, checked or kept
└── LabellingError         a labelling project, or what people entered there
    └── LabelStudioUnavailable   the labelling server does not answer, or refuses the token
"""

import re
from typing import Final

_SECRET: Final = re.compile(
    r"(?i)\b(AccountKey|SharedAccessSignature|sig|signature|x-amz-[a-z-]+|(?:access_)?token|api_?key|password|secret)"
    r"=([^;&\s'\"]+)"
)
_PASSWORD_IN_URL: Final = re.compile(r"://[^/@\s]*:[^/@\s]*@")


def secrets_in(text: str) -> tuple[str, ...]:
    """Values in a text that are named as secrets are, such as `sig=...`."""
    return tuple(match.group(2) for match in _SECRET.finditer(text))


def scrubbed(text: str) -> str:
    """The text with whatever looks like a secret replaced by ***."""
    return _PASSWORD_IN_URL.sub("://***@", _SECRET.sub(r"\1=***", text))


class LightboxError(Exception):
    """An expected failure: shown as one message with its cure, exit code 2, no traceback, and without secrets."""

    def __init__(self, message: str, *, cure: str) -> None:
        self.message, self.cure = scrubbed(message), scrubbed(cure)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\n  cure: {self.cure}"

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.cure))


def _rebuild(kind: type[LightboxError], message: str, cure: str) -> LightboxError:
    return kind(message, cure=cure)


class ConfigError(LightboxError):
    """A setting that cannot be honoured."""


class DataError(LightboxError):
    """The images or their labels."""


class StoreUnreachable(DataError):
    """The store does not answer."""


class AccessDenied(DataError):
    """The store answers, but the credentials are wrong or missing."""


class StoreEmpty(DataError):
    """No image under the URL."""


class ManifestMismatch(DataError):
    """The manifest and the store do not fit together."""


class TooManyRejects(DataError):
    """More unusable images than `max_reject_fraction` allows."""


class DataSetUnusable(DataError):
    """Too few classes or images to train and evaluate honestly."""


class LeakageError(LightboxError):
    """An image would be both learnt from and reported on."""


class WorkspaceError(LightboxError):
    """The workspace cannot be read, written or agreed upon."""


class WeightsUnavailable(LightboxError):
    """Pretrained weights cannot be had."""


class TrainingError(LightboxError):
    """Training cannot go on."""


class ComputeUnavailable(LightboxError):
    """No worker came online, or the training on a work pool ended badly."""


class ExportError(LightboxError):
    """The exported graph does not reproduce the network."""


class BundleError(LightboxError):
    """A bundle is missing, damaged or of another schema."""


class RegistryError(LightboxError):
    """Unknown model, version or alias."""


class PipelineError(LightboxError):
    """A pipeline's document that cannot be read, checked or kept."""


class LabellingError(LightboxError):
    """A labelling project, or what people entered there."""


class LabelStudioUnavailable(LabellingError):
    """The labelling server does not answer, or refuses the token."""
