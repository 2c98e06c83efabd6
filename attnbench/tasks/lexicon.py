"""The lexicon of the toy translation, English and French.

Every English word has one translation, except "look", the translation of which depends on its particle.
"""

from typing import NamedTuple


class Noun(NamedTuple):
    """A noun in singular and plural; `gender` is "m" or "f". The first word of a French compound carries the gender."""

    singular: str
    plural: str
    french_singular: str
    french_plural: str
    gender: str


class Adjective(NamedTuple):
    """An adjective that follows its noun in French, with the four forms of agreement."""

    english: str
    masculine: str
    feminine: str
    masculine_plural: str
    feminine_plural: str


class Verb(NamedTuple):
    """A verb in the third person of the present tense; the English plural is also the base form."""

    singular: str
    plural: str
    french_singular: str
    french_plural: str


NOUNS = (
    Noun("dog", "dogs", "chien", "chiens", "m"),
    Noun("cat", "cats", "chat", "chats", "m"),
    Noun("horse", "horses", "cheval", "chevaux", "m"),
    Noun("bird", "birds", "oiseau", "oiseaux", "m"),
    Noun("mouse", "mice", "souris", "souris", "f"),
    Noun("man", "men", "homme", "hommes", "m"),
    Noun("woman", "women", "femme", "femmes", "f"),
    Noun("boy", "boys", "garçon", "garçons", "m"),
    Noun("girl", "girls", "fille", "filles", "f"),
    Noun("friend", "friends", "ami", "amis", "m"),
    Noun("actor", "actors", "acteur", "acteurs", "m"),
    Noun("king", "kings", "roi", "rois", "m"),
    Noun("queen", "queens", "reine", "reines", "f"),
    Noun("tree", "trees", "arbre", "arbres", "m"),
    Noun("flower", "flowers", "fleur", "fleurs", "f"),
    Noun("apple", "apples", "pomme", "pommes", "f"),
    Noun("potato", "potatoes", "pomme de terre", "pommes de terre", "f"),
    Noun("egg", "eggs", "œuf", "œufs", "m"),
    Noun("house", "houses", "maison", "maisons", "f"),
    Noun("school", "schools", "école", "écoles", "f"),
    Noun("city", "cities", "ville", "villes", "f"),
    Noun("island", "islands", "île", "îles", "f"),
    Noun("star", "stars", "étoile", "étoiles", "f"),
    Noun("windmill", "windmills", "moulin à vent", "moulins à vent", "m"),
    Noun("car", "cars", "voiture", "voitures", "f"),
    Noun("book", "books", "livre", "livres", "m"),
)

ADJECTIVES = (
    Adjective("red", "rouge", "rouge", "rouges", "rouges"),
    Adjective("black", "noir", "noire", "noirs", "noires"),
    Adjective("white", "blanc", "blanche", "blancs", "blanches"),
    Adjective("green", "vert", "verte", "verts", "vertes"),
    Adjective("blue", "bleu", "bleue", "bleus", "bleues"),
    Adjective("grey", "gris", "grise", "gris", "grises"),
    Adjective("happy", "heureux", "heureuse", "heureux", "heureuses"),
    Adjective("active", "actif", "active", "actifs", "actives"),
    Adjective("foreign", "étranger", "étrangère", "étrangers", "étrangères"),
    Adjective("intelligent", "intelligent", "intelligente", "intelligents", "intelligentes"),
    Adjective("empty", "vide", "vide", "vides", "vides"),
    Adjective("strange", "étrange", "étrange", "étranges", "étranges"),
)

TRANSITIVE = (
    Verb("sees", "see", "voit", "voient"),
    Verb("likes", "like", "aime", "aiment"),
    Verb("hears", "hear", "entend", "entendent"),
    Verb("finds", "find", "trouve", "trouvent"),
    Verb("follows", "follow", "suit", "suivent"),
    Verb("knows", "know", "connaît", "connaissent"),
    Verb("admires", "admire", "admire", "admirent"),
    Verb("draws", "draw", "dessine", "dessinent"),
    Verb("wants", "want", "veut", "veulent"),
    Verb("calls", "call", "appelle", "appellent"),
)

# English verbs with a particle; their French translations have none.
PHRASAL = (
    Verb("looks at", "look at", "regarde", "regardent"),
    Verb("looks for", "look for", "cherche", "cherchent"),
    Verb("waits for", "wait for", "attend", "attendent"),
    Verb("listens to", "listen to", "écoute", "écoutent"),
    Verb("pays for", "pay for", "paie", "paient"),
    Verb("hopes for", "hope for", "espère", "espèrent"),
)

INTRANSITIVE = (
    Verb("sleeps", "sleep", "dort", "dorment"),
    Verb("sings", "sing", "chante", "chantent"),
    Verb("runs", "run", "court", "courent"),
    Verb("laughs", "laugh", "rit", "rient"),
    Verb("arrives", "arrive", "arrive", "arrivent"),
    Verb("hesitates", "hesitate", "hésite", "hésitent"),
)

# English does not mark the gender of "they": the translation is always masculine, so that it is unique.
SUBJECT_PRONOUNS = {"singular": (("he", "il"), ("she", "elle")), "plural": (("they", "ils"),)}
OBJECT_PRONOUNS = (("him", "le"), ("her", "la"), ("them", "les"))
