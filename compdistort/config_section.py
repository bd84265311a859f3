"""The base of all sections of a study file, and the section of operator scores; `compdistort.config` has the others."""

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    """A table of the study file: no unknown keys, no change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class OperatorsSection(Section):
    """Scores of the features themselves: opt-in, since they cost a stack of features per replicate."""

    scores: bool = False
    replicates: int | None = Field(None, ge=2, le=100_000, description="default: those of the study, at most 100")
    side: int = Field(256, ge=1, le=1024, description="largest side of the part that is scored, in pixels")

    @model_validator(mode="after")
    def _wanted(self) -> "OperatorsSection":
        for name in ("replicates", "side"):
            if not self.scores and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} does nothing without scores = true; give it, or remove {name}")
        return self
