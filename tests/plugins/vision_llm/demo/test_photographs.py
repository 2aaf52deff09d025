"""The world of photographs, on coloured rectangles under the package's names; the script that fetches the package, with
apt played by a stand-in; and the package itself where it has been fetched."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prefalign_vision_llm.demo.language import vocabulary
from prefalign_vision_llm.demo.photographs import PHOTOGRAPH_WORLD, PHOTOGRAPHS, photograph_world
from prefalign_vision_llm.demo.rendering import render
from prefalign_vision_llm.demo.scenes import BALANCED, Placement, Scene, sample_scene

ROOT = Path(__file__).resolve().parents[4]
FETCH = ROOT / "scripts" / "fetch_stamps.sh"
FETCHED = ROOT / ".cache/tuxpaint-stamps/usr/share/tuxpaint/stamps"
PROGRAMS = ("ar", "bash", "cp", "dirname", "find", "grep", "gzip", "mkdir", "mktemp", "mv", "rm", "tar", "touch", "wc")
COW = "animals/mammals/bovines/cow"


def _stamp(colour=(250, 0, 0), size=(40, 20)):
    image = Image.new("RGBA", (size[0] + 10, size[1] + 10))
    image.paste((*colour, 255), (5, 5, 5 + size[0], 5 + size[1]))
    return image


@pytest.fixture
def stamps(tmp_path):
    for name, paths in PHOTOGRAPHS.items():
        for number, path in enumerate(paths):
            file = tmp_path / f"{path}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            _stamp((list(PHOTOGRAPHS).index(name) * 20, 40 * number, 0)).save(file)
    return tmp_path


def _draw(scenery, name, seed):
    scene = Scene("farm", (Placement(name, 4, (1, 1), 28),), (0, 0, 0), seed)
    return np.asarray(render(scene, **scenery)).astype(int)


def test_every_object_of_the_world_has_photographs_of_its_own():
    assert tuple(PHOTOGRAPHS) == PHOTOGRAPH_WORLD.objects
    assert [len(context.objects) for context in PHOTOGRAPH_WORLD.contexts] == [4, 4, 4]
    paths = [path for several in PHOTOGRAPHS.values() for path in several]
    assert len(set(paths)) == len(paths) == 34
    assert set(PHOTOGRAPHS) < set(vocabulary(PHOTOGRAPH_WORLD))


def test_a_scene_shows_each_photograph_of_an_object(stamps):
    """The third pig is (20, 80, 0), 28 x 14 pixels in a square at (33, 33): row 47, column 47 is inside, with noise 6.

    Sixty scenes leave out one of three photographs with a probability of 3 * (2/3)^60 = 8e-11.
    """
    scenery = photograph_world(stamps)
    inside = np.array([_draw(scenery, "pig", seed)[45:49, 40:54].mean(axis=(0, 1)) for seed in range(60)])
    # Values that noise carries below 0 are clipped, so that a mean of 0 is drawn as 2.
    assert np.abs(inside[:, 0] - 20).max() < 4
    assert np.abs(inside[:, 2]).max() < 5
    greens = np.round(inside[:, 1] / 40).astype(int)
    assert np.abs(inside[:, 1] - 40 * greens).max() < 5
    assert set(greens) == {0, 1, 2}
    assert np.array_equal(_draw(scenery, "pig", 3), _draw(scenery, "pig", 3))


def test_random_scenes_are_drawn_in_the_worlds_size(stamps):
    scenery = photograph_world(stamps)
    rng = np.random.default_rng(0)
    sizes = {render(sample_scene(scenery["world"], BALANCED, rng), **scenery).size for _ in range(20)}
    assert sizes == {(96, 96)}


def test_the_fingerprint_follows_the_pictures(stamps):
    before = photograph_world(stamps)["sprites"].fingerprint
    assert photograph_world(stamps)["sprites"].fingerprint == before
    _stamp((1, 2, 3)).save(stamps / f"{COW}.png")
    assert photograph_world(stamps)["sprites"].fingerprint != before


def test_the_fingerprint_follows_what_a_picture_is_called(stamps, monkeypatch):
    """The same files in the same order, but a white cow is now a pig."""
    before = photograph_world(stamps)["sprites"].fingerprint
    cow, pig = PHOTOGRAPHS["cow"], PHOTOGRAPHS["pig"]
    monkeypatch.setitem(PHOTOGRAPHS, "cow", cow[:1])
    monkeypatch.setitem(PHOTOGRAPHS, "pig", (*cow[1:], *pig))
    assert photograph_world(stamps)["sprites"].fingerprint != before


def test_missing_photographs_are_named_with_the_way_to_get_them(stamps, tmp_path):
    (stamps / f"{COW}.png").unlink()
    (stamps / "town/usps_mailbox.png").unlink()
    with pytest.raises(ValueError, match=rf"lacks {COW}\.png, town/usps_mailbox\.png; .*scripts/fetch_stamps\.sh"):
        photograph_world(stamps)
    with pytest.raises(ValueError, match=rf"nowhere lacks {COW}\.png, .*pig\.png and 31 more; "):
        photograph_world(tmp_path / "nowhere")


def test_an_unusable_photograph_is_refused(stamps):
    (stamps / f"{COW}.png").write_text("not a picture")
    with pytest.raises(ValueError, match=rf"{COW}\.png cannot be read as a PNG image"):
        photograph_world(stamps)


@pytest.mark.skipif(not FETCHED.exists(), reason="the photographs are not here; scripts/fetch_stamps.sh brings them")
def test_every_photograph_is_visible_on_every_background():
    """At least 8 % of a cell differs from the tint by more than 40 of 255, over six times the noise."""
    scenery = photograph_world(FETCHED)
    for context in PHOTOGRAPH_WORLD.contexts:
        for name, several in PHOTOGRAPHS.items():
            for seed in range(6 * len(several)):
                scene = Scene(context.name, (Placement(name, 4, (1, 1), 26),), (0, 0, 0), seed)
                cell = np.asarray(render(scene, **scenery)).astype(int)[32:64, 32:64]
                visible = (np.abs(cell - np.array(context.tint)).max(axis=2) > 40).mean()
                assert visible > 0.08, (context.name, name, seed)


APT = """#!/usr/bin/env bash
echo "$*" >> {root}/calls
case " $* " in
*" update ") touch {root}/listed ;;
*" download tuxpaint-stamps-default ") [ -e {root}/listed ] && cp {root}/package/*.deb . ;;
*) exit 2 ;;
esac
"""


class Checkout:
    """A copy of the script in a folder of its own; all that it can call is in ``programs``, with an apt-get that knows
    the package once its lists are renewed and writes its arguments into ``calls``.
    """

    STAMP = "usr/share/tuxpaint/stamps/cow.png"

    def __init__(self, root, *, stamp=STAMP, user=0):
        self.root, self.programs = root, root / "programs"
        self.stamps = root / ".cache/tuxpaint-stamps/usr/share/tuxpaint/stamps"
        for folder in (root / "scripts", self.programs, root / "package"):
            folder.mkdir()
        shutil.copy(FETCH, root / "scripts")
        for name in [
            "ar",
            "bash",
            "cp",
            "dirname",
            "find",
            "grep",
            "gzip",
            "mkdir",
            "mktemp",
            "mv",
            "rm",
            "tar",
            "touch",
            "wc",
        ]:
            if (found := shutil.which(name)) is None:
                pytest.skip(f"this machine has no {name}")
            (self.programs / name).symlink_to(found)
        self.program("apt-get", APT.format(root=root))
        self.program("id", f"#!/usr/bin/env bash\necho {user}")
        self._pack(root / "package", stamp)

    @staticmethod
    def _pack(folder, stamp):
        """Write the package without Debian's tools: an archive of a version number and two tar files."""
        file = folder / "data" / stamp
        file.parent.mkdir(parents=True)
        _stamp().save(file)
        (folder / "debian-binary").write_text("2.0\n")
        (folder / "control").write_text("Package: tuxpaint-stamps-default\n")
        subprocess.run(["tar", "-czf", "control.tar.gz", "control"], cwd=folder, check=True)
        subprocess.run(["tar", "-czf", "data.tar.gz", "-C", "data", "usr"], cwd=folder, check=True)
        members = ["debian-binary", "control.tar.gz", "data.tar.gz"]
        subprocess.run(["ar", "rc", "tuxpaint-stamps-default_1_all.deb", *members], cwd=folder, check=True)

    def program(self, name, text):
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def fetch(self):
        environment = {**os.environ, "PATH": str(self.programs)}
        command = [self.programs / "bash", self.root / "scripts/fetch_stamps.sh"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def calls(self):
        """The last argument of every call of apt-get."""
        return [line.split()[-1] for line in (self.root / "calls").read_text().splitlines()]


@pytest.mark.parametrize("unpacker", ["dpkg-deb", "ar"])
def test_the_script_unpacks_the_package_and_then_leaves_it_alone(tmp_path, unpacker):
    checkout = Checkout(tmp_path)
    (tmp_path / "listed").touch()
    if unpacker == "dpkg-deb":
        if (found := shutil.which("dpkg-deb")) is None:
            pytest.skip("this machine has no dpkg-deb")
        checkout.program("dpkg-deb", f'#!/usr/bin/env bash\necho "$*" >> {tmp_path}/unpacked\nexec {found} "$@"')
    for _ in range(2):
        done = checkout.fetch()
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "unpacked").exists() == (unpacker == "dpkg-deb")
    assert [file.name for file in (tmp_path / ".cache").iterdir()] == ["tuxpaint-stamps"]
    assert (checkout.stamps / "cow.png").read_bytes() == (tmp_path / "package/data" / checkout.STAMP).read_bytes()
    assert checkout.calls() == ["tuxpaint-stamps-default"]
    assert "is there already" in done.stdout


def test_the_script_renews_the_package_lists_if_it_may(tmp_path):
    checkout = Checkout(tmp_path)
    done = checkout.fetch()
    assert done.returncode == 0, done.stderr
    assert checkout.calls() == ["tuxpaint-stamps-default", "update", "tuxpaint-stamps-default"]


def test_the_script_says_what_to_do_if_it_may_not(tmp_path):
    checkout = Checkout(tmp_path, user=1000)
    done = checkout.fetch()
    assert done.returncode == 1
    assert "'sudo apt-get update'" in done.stderr
    assert checkout.calls() == ["tuxpaint-stamps-default"]
    assert list((tmp_path / ".cache").iterdir()) == []


def test_the_script_says_where_to_unpack_by_hand_without_apt(tmp_path):
    checkout = Checkout(tmp_path)
    (checkout.programs / "apt-get").unlink()
    done = checkout.fetch()
    assert done.returncode == 1
    assert "needs apt-get" in done.stderr
    assert f"so that there is {checkout.stamps}" in done.stderr


def test_a_package_without_stamps_is_not_kept(tmp_path):
    checkout = Checkout(tmp_path, stamp="usr/share/elsewhere/cow.png")
    (tmp_path / "listed").touch()
    done = checkout.fetch()
    assert done.returncode == 1
    assert "holds no usr/share/tuxpaint/stamps" in done.stderr
    assert list((tmp_path / ".cache").iterdir()) == []
