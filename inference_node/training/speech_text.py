# ruff: noqa: RUF001, SIM905 - letters of other scripts are the matter here; lists of syllables read best as text
"""Things to say: sentences, numbers and syllables strung together at random, in many languages.

Sense does not matter; what matters is that sounds meet each other in every order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_SENTENCES = (
    "My mother bought a map of Bombay and put it above the bed.",
    "People believe what they see before they believe what they hear.",
    "Five very brave wolves have found the path over the frozen river.",
    "Would you move the blue boat to the other side of the pool?",
    "Good morning, and welcome back to the show.",
    "The quarterly numbers are better than anybody had hoped.",
    "Open your mouth wide, please, and say ah.",
    "She sells fresh fish from a small shop by the shore.",
    "I am not sure whether this is the right way to go about it.",
    "Please remember to bring the papers back by Monday afternoon.",
    "Our brown dog barks at the postman every single day.",
    "How much wood would they need for a warm winter?",
    "The weather will be mostly cloudy with a few showers in the evening.",
    "He thought about the other three things all through the night.",
    "Let me show you how simple it is to make your own bread.",
    "Yes. No. Maybe. We will see about that.",
    "A large army marched past the farm in the dark.",
    "Each of these teams needs three green leaves.",
    "Two new shoes, a spoon, and a bowl of soup.",
    "Thank you for watching, and do not forget to subscribe.",
    "Today we are going to talk about the future of energy.",
    "The judge asked whether the jury had reached a decision.",
    "Oh, no, don't go home alone on the old road!",
    "Probably the most important improvement is the simplest one.",
    "When the sun goes down, the whole valley turns to gold.",
    "Far away, behind the word mountains, nobody ever complains.",
    "Could you possibly give me a couple of minutes?",
    "Put the apple pie on top of the paper plate.",
    "It was a pleasure to meet you all in person at last.",
    "Hello everyone, my name is Emma, and I live in Vermont.",
    "We shall measure the pressure in the chamber again.",
    "Why are you always late when we have an early meeting?",
    "The rough cough of the old man could be heard through the wall.",
    "Buy one, get one free, but only for members.",
    "I feel that we have been over this before.",
    "That is exactly what I wanted to say.",
)
_WORDS = (
    "about above baby back banana beam before big blue bob book bubble by camp cheese chew church come could cup day "
    "deep do dove far father few fifty film five foam food for forward fume give go happy have heat help home hope how "
    "if image jam judge jump keep know lamp leave lemon lip love made map may me memory mob moment moon mop more move "
    "much mum my name never new no now of off often oh open other over palm papa paper people perhaps phone piper play "
    "pop problem proof public pump put quick remember remove rope room rubber safe say see seem shape she should show "
    "simple so some speak stop sum super swim tape team temple thief think this thumb time to tomb too tree try two up "
    "us very view voice vow wait want warm was watch water we web wharf what when where who wife wolf woman wood work "
    "world would yes yet you youth zebra zoom"
).split()
_ENGLISH_ONSETS = "p p b b m m f v t d k g n s z S Z tS dZ T D h l r w j pr bl fl st sp sm sw kw tr".split()
_ENGLISH_VOWELS = "a a0 A: A: E I i: i: u: u: U V O: O: 0 3: @ eI aI OI oU aU".split()
_ENGLISH_CODAS = ["", "", "", "", "m", "p", "b", "n", "t", "k", "s", "f", "v", "l", "N", "S", "mp", "st"]
_PINYIN_ONSETS = ["", *"b b p p m m f d t n l g k h j q x zh ch sh r z c s".split()]
_PINYIN_FINALS = "a ai ao an ang e ei en eng i ia ie iao iu ian in iang ing o ou ong u ua uo uai ui uan un uang".split()
_PINYIN_AFTER_PALATAL = "i ia ie iao iu ian in iang ing iong u ue uan un".split()
_PINYIN_SENTENCES = (
    "ni3 hao3 huan1 ying2 shou1 kan4 jin1 tian1 de5 xin1 wen2",
    "wo3 men5 ming2 tian1 qu4 bei3 jing1 mai3 dong1 xi5",
    "ma1 ma5 ba4 ba5 dou1 hen3 mang2",
    "qing3 wen4 zhe4 ge5 ping2 guo3 duo1 shao3 qian2",
    "ta1 bu4 xi3 huan5 he1 ka1 fei1 zhi3 he1 shui3",
    "zhong1 guo2 you3 hen3 duo1 piao4 liang5 de5 di4 fang5",
    "mei3 ge5 ren2 dou1 you3 zi4 ji3 de5 meng4 xiang3",
    "xie4 xie5 da4 jia1 wo3 men5 xia4 ci4 zai4 jian4",
    "fei1 ji1 wan3 shang5 ba1 dian3 ban4 cai2 dao4",
    "peng2 you5 men5 yi4 qi3 pao3 bu4 ba5",
)
_LATIN_ONSETS = "p b m f v t d k g n l r s b m p pr br tr st".split()
_LATIN_LANGUAGES = {
    "es": "aeiou", "it": "aeiou", "pt-br": "aeiouãé", "pl": "aeiouyó", "cs": "aeiouáíů", "fi": "aeiouyäö",
    "tr": "aeıioöuü", "sw": "aeiou", "id": "aeiou", "de": "aeiouäöü",
    "nl": ["a", "aa", "e", "ee", "i", "oo", "oe", "uu"],
    "fr-fr": ["a", "é", "è", "i", "o", "ou", "u", "eu", "an", "on", "in"], "sv": "aeiouyåäö", "hu": "aáeéiíoóöőuúüű",
    "ro": "aeiouăî", "vi": ["a", "e", "ê", "i", "o", "ô", "ơ", "u", "ư", "á", "ò", "ạ"], "da": "aeiouyæøå",
}  # fmt: skip
_NUMBER_LANGUAGES = "ru hi el ar ja ko uk bg fa bn ta sr ms".split()
_CYRILLIC = ("пбмфвтдкгнлрсшжчзх", "аоуыэияёюе")


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """Something to say and the espeak-ng language that says it."""

    language: str
    text: str


def random_script(rng: np.random.Generator) -> Script:
    """Something to say for about three to eight seconds; English and Mandarin come most often."""
    draw = rng.random()
    if draw < 0.42:
        return Script(language=str(rng.choice(["en-us", "en-us", "en-gb", "en-gb-x-rp"])), text=_english(rng))
    if draw < 0.62:
        return Script(language="cmn-latn-pinyin", text=_mandarin(rng))
    if draw < 0.88:
        language = str(rng.choice(list(_LATIN_LANGUAGES)))
        return Script(language=language, text=_latin(rng, language))
    if draw < 0.93:
        return Script(language="ru", text=_russian(rng))
    numbers = [str(rng.integers(1, 10 ** int(rng.integers(1, 5)))) for _ in range(4)]
    return Script(language=str(rng.choice(_NUMBER_LANGUAGES)), text=_spread(numbers, rng))


def random_english(rng: np.random.Generator) -> str:
    """Something to say in ordinary English letters, for synthesisers that know nothing else."""
    draw = rng.random()
    if draw < 0.35:
        return " ".join(str(rng.choice(_SENTENCES)) for _ in range(2))
    if draw < 0.65:
        return _spread([str(word) for word in rng.choice(_WORDS, 12)], rng)
    return _spread(
        [_word(rng, _LATIN_ONSETS, ["a", "ee", "i", "o", "oo", "u", "ay", "ow", "e"]) for _ in range(9)], rng
    )


def random_text(rng: np.random.Generator, language: str) -> str:
    """Something to say in a language's own letters: ``en``, ``ru``, or one that is written with Latin ones."""
    if language == "en":
        return random_english(rng)
    return _russian(rng) if language == "ru" else _latin(rng, language)


def _english(rng: np.random.Generator) -> str:
    draw = rng.random()
    if draw < 0.35:
        return " ".join(str(rng.choice(_SENTENCES)) for _ in range(2))
    if draw < 0.6:
        return _spread([str(word) for word in rng.choice(_WORDS, 12)], rng)
    words = []
    for _ in range(7):
        syllables = [
            str(rng.choice(_ENGLISH_ONSETS)) + str(rng.choice(_ENGLISH_VOWELS)) + str(rng.choice(_ENGLISH_CODAS))
            for _ in range(rng.integers(1, 4))
        ]
        stressed = int(rng.integers(0, len(syllables)))
        words.append("[[" + "".join("'" * (i == stressed) + s for i, s in enumerate(syllables)) + "]]")
    return _spread(words, rng)


def _mandarin(rng: np.random.Generator) -> str:
    if rng.random() < 0.3:
        return ", ".join(str(rng.choice(_PINYIN_SENTENCES)) for _ in range(2))
    syllables = []
    for _ in range(18):
        onset = str(rng.choice(_PINYIN_ONSETS))
        final = str(rng.choice(_PINYIN_AFTER_PALATAL if onset in {"j", "q", "x"} else _PINYIN_FINALS))
        if not onset:
            onset = {"i": "y", "u": "w"}.get(final[0], "")
        if onset in {"zh", "ch", "sh", "r", "z", "c", "s", "f", "g", "k", "h"} and final[0] == "i":
            final = str(rng.choice(["a", "an", "ang", "en", "eng", "u", "ei", "ou"]))
        syllables.append(f"{onset}{final}{rng.integers(1, 5)}")
    return _spread(syllables, rng)


def _russian(rng: np.random.Generator) -> str:
    return _spread([_word(rng, *_CYRILLIC) for _ in range(7)], rng)


def _latin(rng: np.random.Generator, language: str) -> str:
    if rng.random() < 0.25:
        return _spread([str(rng.integers(1, 10 ** int(rng.integers(1, 5)))) for _ in range(4)], rng)
    return _spread([_word(rng, _LATIN_ONSETS, _LATIN_LANGUAGES[language]) for _ in range(8)], rng)


def _word(rng: np.random.Generator, onsets: Sequence[str], vowels: Sequence[str]) -> str:
    syllables = [str(rng.choice(list(onsets))) + str(rng.choice(list(vowels))) for _ in range(rng.integers(1, 4))]
    coda = str(rng.choice(list(onsets)[:12])) if rng.random() < 0.3 else ""
    return "".join(syllables) + coda


def _spread(words: list[str], rng: np.random.Generator) -> str:
    """Words with a comma or a full stop here and there."""
    marks = rng.choice(["", "", "", "", "", ",", "."], len(words))
    return " ".join(word + str(mark) for word, mark in zip(words, marks, strict=True))
