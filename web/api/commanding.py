"""How commands are answered: with their result, or 202 and where to ask later."""

from __future__ import annotations

from typing import Annotated, Any, Self

from fastapi import Path, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from loyalty.conditions import ConditionError
from web.api.desk import Known
from web.api.doors import PREFIX, Reader, guarded
from web.api.parts import P
from web.api.problems import Problem
from web.api.segments import canonical

router = guarded("commands")

CustomerId = Annotated[
    str, Field(min_length=1, max_length=256, pattern=r"^[^\x00]+$", description="As the mapping leaves it.")
]
#: A customer in a path.
CustomerPath = Annotated[str, Path(min_length=1, max_length=256, pattern=r"^[^\x00]+$")]
#: Reasons of refusals that are no conflict with how the customer stands.
_STATUSES = {
    "unknown_customer": 404, "unknown_grant": 404, "unknown_segment": 422, "invalid_arguments": 422,
    "invalid_command": 422, "oversized": 413,
}  # fmt: skip


class ForCustomer(BaseModel):
    """Whom it concerns."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"customer_id": "+15550001"}]})

    customer_id: CustomerId


class ForSegment(BaseModel):
    """Whom it concerns: all for whom a condition holds."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"segment": "risk >= 60"}]})

    segment: str = Field(max_length=2000, description="A condition (docs/conditions.md), or `all`.")

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        _readable(self.segment)
        return self


class ForCustomerOrSegment(BaseModel):
    """Whom it concerns: one customer, or all for whom a condition holds."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"customer_id": "+15550001"}]})

    customer_id: CustomerId | None = None
    segment: str | None = Field(None, max_length=2000, description="A condition, or `all`.")

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.customer_id is None) == (self.segment is None):
            raise ValueError("customer_id: give either customer_id or segment")
        if self.segment is not None:
            _readable(self.segment)
        return self


def _readable(segment: str) -> None:
    try:
        canonical(segment)
    except ConditionError as error:
        raise ValueError(f"segment: {error}") from None


class Answer(BaseModel):
    """What became of a command."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "command_id": "5d0c7f0e1c1b4e6f9a3d2b1a0f9e8d7c", "command": "redeem",
                    "customer_id": "+15550001", "segment": None, "status": "done", "expected": 1,
                    "results": [{"status": "done", "reason": "", "message": "", "partition": 2}],
                }
            ]
        },
    )  # fmt: skip

    command_id: str
    command: str
    status: str = Field(description="done, refused, or pending: ask `commands/{command_id}/`.")
    results: list[dict[str, Any]]


def answered(known: list[Known], response: Response) -> dict[str, Any]:
    """The answer to one command.  Raises Problem where a customer's was refused; 202 while it is pending."""
    [one] = known
    answer = one.plain()
    if answer["status"] == "pending":
        response.status_code = 202
        response.headers["Location"] = f"{PREFIX}/commands/{one.row.id}/"
    elif answer["status"] == "refused" and one.row.segment is None:
        [result] = one.results
        raise Problem(
            _STATUSES.get(result.reason, 409),
            result.message or f"{one.row.command} is refused: {result.reason.replace('_', ' ')}",
            reason=result.reason,
            command_id=one.row.id,
        )
    return answer


@router.get("/commands/{command_id}/", summary="What became of a command", response_model=Answer)
def command_result(
    parts: P, caller: Reader, command_id: Annotated[str, Path(max_length=64, pattern="^[0-9a-f]+$")]
) -> dict[str, Any]:
    """Its results so far."""
    return parts.desk.find(command_id).plain()
