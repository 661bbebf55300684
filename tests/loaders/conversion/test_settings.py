"""The settings of a conversion: those of `convert`, in one form."""

from __future__ import annotations

import inspect
from dataclasses import fields

import pytest

from loaders import convert
from loaders.beton.fields import FieldType
from loaders.conversion.settings import Settings


def test_they_are_arguments_of_convert_with_the_same_defaults() -> None:
    arguments = inspect.signature(convert).parameters
    assert {field.name: field.default for field in fields(Settings)} == {
        field.name: arguments[field.name].default for field in fields(Settings)
    }


def test_equal_settings_are_equal_in_whichever_form_they_are_given() -> None:
    first = Settings.of(ratios=[1, 0.5], classes=["a"], fields={"x": "int"}, quality=90)
    assert first == Settings.of(ratios=(1.0, 0.5), classes=("a",), fields={"x": FieldType("int")})
    assert first == Settings.of(**vars(first)) != Settings.of(ratios=[1, 0.5], classes=["a"])


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(TypeError, match="qualty"):
        Settings.of(qualty=90)
