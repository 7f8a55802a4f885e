"""What a caption names and what its mask holds must be found to agree, or good pairs would be reported as faulty."""

from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.prompts.text import mentioned_classes
from wetgen.training.scenes.captions import caption
from wetgen.training.scenes.draw import draw_scene
from wetgen.training.scenes.scene import CLASSES
from wetgen.training.synonyms import words_of


def test_the_classes_a_rendered_caption_asks_for_are_those_in_the_scene() -> None:
    words = words_of(CLASSES)
    wrong = []
    for index in range(400):
        scene = draw_scene(5, index)
        if set(mentioned_classes(caption(scene), words)) != {damage.kind for damage in scene.damages}:
            wrong.append(caption(scene))
    assert len(wrong) <= 8, wrong  # 2 %: a grammar with synonyms keeps a few that no list of words tells apart


def test_there_are_a_dozen_words_for_every_class_and_none_is_of_two() -> None:
    words = words_of(CLASSES)
    assert all(len(set(listed)) >= 12 for listed in words.values())
    assert sum(map(len, words.values())) == len({word for listed in words.values() for word in listed})


def test_every_default_class_has_words_and_a_new_one_is_spoken_of_by_its_name() -> None:
    assert set(words_of(CLASSES)) == set(CLASSES.names[1:])
    assert words_of(ClassTable(("background", "woodworm"))) == {"woodworm": ["woodworm"]}
