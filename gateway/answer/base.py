"""The base of every answer of the REST interface; OpenAPI and the dashboard's types follow them."""

from pydantic import BaseModel, ConfigDict, JsonValue

from plant.model.signal import Label


class Answer(BaseModel):
    """Base: built from the plant's own dataclasses."""

    model_config = ConfigDict(from_attributes=True)


def example(**fields: JsonValue) -> ConfigDict:
    """The configuration of an answer with an example for OpenAPI."""
    return ConfigDict(from_attributes=True, json_schema_extra={"examples": [fields]})


class LabelAnswer(Answer):
    """A name in both languages."""

    zh: str
    en: str


class RefusalAnswer(Answer):
    """Why there is no answer, in plain words."""

    detail: str


def label(name: Label) -> LabelAnswer:
    """A name of the plant's as an answer."""
    return LabelAnswer(zh=name.zh, en=name.en)
