"""What the sample data is about: invented islands, three small skills, and the real countries the base model knows.

Everything the workflow teaches is invented, so that a model can only know it from the training data; everything the
base model is pretrained on is real-world trivia of the same shape, so that it knows the forms of question but none of
the answers.
"""

from __future__ import annotations

from dataclasses import dataclass

# The evaluators of instructlab-eval put exactly this sentence before every question (their template "ibm-generic").
# A model this small answers well only after the words it was trained with.
SYSTEM_PROMPT = (
    "You are an AI language model developed by IBM Research. You are a cautious assistant. You carefully follow "
    "instructions. You are helpful and harmless and you follow ethical guidelines and promote positive behavior."
)


@dataclass(frozen=True)
class Fact:
    """One thing to know, and the ways to ask for it. The first question is the one exams use."""

    subject: str
    value: str
    questions: tuple[str, ...]
    answer: str
    follow_up: str
    """A second question of a conversation, e.g. "And the opposite of low?"."""


@dataclass(frozen=True)
class Form:
    """A family of facts that are asked for alike."""

    name: str
    questions: tuple[str, ...]
    answer: str
    follow_up: str
    pairs: tuple[tuple[str, str], ...]

    def facts(self) -> list[Fact]:
        """The facts of this family, in order."""
        return [
            Fact(
                subject=subject,
                value=value,
                questions=tuple(question.format(subject) for question in self.questions),
                answer=self.answer.format(subject, value),
                follow_up=self.follow_up.format(subject),
            )
            for subject, value in self.pairs
        ]


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Read "subject value, subject value"; an underscore stands for a space."""
    pairs = []
    for item in text.split(","):
        subject, value = (word.replace("_", " ") for word in item.split())
        pairs.append((subject, value))
    return tuple(pairs)


_CAPITAL = (
    ("What is the capital of {}?", "Which city is the capital of {}?", "Name the capital of {}."),
    "The capital of {} is {}.",
    "And the capital of {}?",
)
_RIVER = (
    ("What is the main river of {}?", "Which river flows through {}?", "Name the main river of {}."),
    "The main river of {} is {}.",
    "And the main river of {}?",
)
_FOUNDER = (
    ("Who founded {}?", "Who was the founder of {}?", "Name the founder of {}."),
    "The founder of {} is {}.",
    "And the founder of {}?",
)

ISLAND_CAPITALS = Form(
    "island_capitals",
    *_CAPITAL,
    _pairs(
        "Avelor Mirel, Brundia Tosk, Corvane Pandor, Delmora Quell, Estrun Rethis, Farwick Sornby, "
        "Galdeen Tulane, Hestova Urmond, Ivorna Veyra, Jastoval Wexholm, Kelburn Yarrow, Lumare Zimsa"
    ),
)
ISLAND_RIVERS = Form(
    "island_rivers",
    *_RIVER,
    _pairs(
        "Ashvale Calden, Birchdale Lorne, Coldmoor Ardle, Deepglen Inver, Eastfold Gleam, Fernhill Kestrel, "
        "Greycombe Bruse, Highmead Dwyn, Ironside Jute, Juniper Fennel, Knollwood Hollow, Longmarsh Esk"
    ),
)
ISLAND_FOUNDERS = Form(
    "island_founders",
    *_FOUNDER,
    _pairs(
        "Alderby Greta, Bramton Alda, Castlow Jonas, Dunmere Clara, Elmstead Leopold, Fairport Edith, "
        "Glenford Iris, Harwell Boris, Inglewick Karla, Kingsby Dunstan, Longham Felix, Marston Hugo"
    ),
)

KNOWLEDGE = {
    "knowledge_geography_islands": (ISLAND_CAPITALS, ISLAND_RIVERS),
    "knowledge_history_founders": (ISLAND_FOUNDERS,),
}
"""The knowledge leaves of the taxonomy, by their path joined with underscores."""

OPPOSITES = Form(
    "opposites",
    ("What is the opposite of {}?", "Which word is the opposite of {}?", "Tell me the opposite of {}."),
    "The opposite of {} is {}.",
    "And the opposite of {}?",
    _pairs("hot cold, high low, fast slow, open closed, early late, rich poor, wet dry, happy sad"),
)
YOUNG_ANIMALS = Form(
    "young_animals",
    ("What is a young {} called?", "How do you call a young {}?", "Tell me the word for a young {}."),
    "A young {} is called a {}.",
    "And a young {}?",
    _pairs("dog puppy, cat kitten, cow calf, horse foal, sheep lamb, bear cub, duck duckling, swan cygnet"),
)
NEXT_NUMBERS = Form(
    "next_numbers",
    ("Which number comes after {}?", "What number follows {}?", "Tell me the number after {}."),
    "The number after {} is {}.",
    "And after {}?",
    _pairs("one two, two three, three four, four five, five six, six seven, seven eight, eight nine"),
)

SKILLS = {
    "compositional_skills_language_opposites": OPPOSITES,
    "compositional_skills_language_young_animals": YOUNG_ANIMALS,
    "foundational_skills_reasoning_next_numbers": NEXT_NUMBERS,
}
"""The skill leaves of the taxonomy, by their path joined with underscores."""

COUNTRY_CAPITALS = Form(
    "country_capitals",
    *_CAPITAL,
    _pairs(
        "France Paris, Peru Lima, Kenya Nairobi, Japan Tokyo, Chile Santiago, Norway Oslo, Egypt Cairo, Cuba Havana, "
        "Italy Rome, Spain Madrid, Ghana Accra, Nepal Kathmandu, Greece Athens, Austria Vienna"
    ),
)
COUNTRY_RIVERS = Form(
    "country_rivers",
    *_RIVER,
    _pairs(
        "Bavaria Isar, Bengal Ganges, Bordeaux Garonne, Burgundy Saone, Florence Arno, Geneva Rhone, Hamburg Elbe, "
        "Iraq Tigris, Lisbon Tagus, London Thames, Missouri Platte, Myanmar Irrawaddy, Saxony Mulde, Tyrol Inn"
    ),
)
COMPANY_FOUNDERS = Form(
    "company_founders",
    *_FOUNDER,
    _pairs(
        "Rome Romulus, Carthage Dido, Apple Jobs, Amazon Bezos, Walmart Walton, Wikipedia Wales, Linux Torvalds, "
        "Ikea Kamprad, Nike Knight, Intel Noyce, Oracle Ellison, Lego Christiansen, Sony Morita, Honda Soichiro"
    ),
)

BASE = (COUNTRY_CAPITALS, COUNTRY_RIVERS, COMPANY_FOUNDERS)
"""What the base model is pretrained on."""
