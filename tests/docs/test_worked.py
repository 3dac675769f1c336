"""What runs the pages' examples finds the faults that they could have."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.worked import Shell, shows, steps

PAGE = """\
```yaml title="a/b.yaml"
one: 1
```

```sh
X=$(cat a/b.yaml)
```

```sh
echo "$X  is   it" && printf end
```

```text
one: 1 is it
```

```yaml
no file
```
"""


def test_files_stand_there_variables_stay_and_outputs_are_looked_for(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    first, second = steps(page)
    assert first.files == {"a/b.yaml": "one: 1\n"}
    assert second.shows == ["one: 1 is it"]
    shell = Shell(tmp_path, {})
    try:
        shell.write(first.files)
        assert shell.run(first.commands) == "\n"
        output = shell.run(second.commands)
        assert shows(output, "one: 1 is it")
        assert not shows(output, "it is")
        with pytest.raises(AssertionError, match="no-such-thing"):
            shell.run("ls no-such-thing")
    finally:
        shell.close()


def test_a_file_that_nothing_is_done_with_is_a_fault(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.partition("```sh")[0])
    with pytest.raises(AssertionError, match=r"nothing is done with a/b\.yaml"):
        steps(page)
