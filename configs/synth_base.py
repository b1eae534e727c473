"""Every key of a synthesis: what it means, its unit, its default.

`python -m vsfa_jax.synth` takes these; they are no run's keys. The defaults need no key and no
network: the embedded drawer, and a teacher who knows what it drew. None of the counts, prompts and
rules is the paper's, which does not publish them.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The defaults."""
    config = ConfigDict()

    # One seed for everything that is drawn or chosen; services that take a seed get one from it.
    config.seed = 0
    # Whether a progress bar is drawn on a terminal, with rate, cost so far and estimate.
    config.progress = True
    # What models cost: rows of (model, US dollars for a million tokens in, for a million out, for a
    # picture). A model without a row costs an unknown sum: `--budget_usd` is refused then.
    config.prices = ()

    config.chat = chat = ConfigDict()
    # Address of the OpenAI-compatible service that writes concepts and looks at pictures; "" is
    # the environment's OPENAI_BASE_URL, or else OpenAI's own.
    chat.base_url = ""
    # The environment variable that holds its key; "" for a server that wants none.
    chat.key_variable = "OPENAI_API_KEY"
    # Seconds of one attempt.
    chat.timeout_s = 120.0
    # Further attempts after one that failed in passing.
    chat.retries = 4
    # Requests under way at a time.
    chat.concurrency = 16

    config.painter = painter = ConfigDict()
    # The same of the service that makes pictures, at BASE_URL/images/generations.
    painter.base_url = ""
    painter.key_variable = "OPENAI_API_KEY"
    painter.timeout_s = 300.0
    painter.retries = 4
    painter.concurrency = 4

    config.concepts = concepts = ConfigDict()
    # "embedded": what the drawer can draw. "abstracts": through the chat model from `path`, JSON
    # lines {"id", "title", "abstract"} or an Atom feed of arXiv. "list": JSON lines {"name",
    # "description"}, completed by the chat model, or whole with {"category", "prompts", "neutral":
    # {"name", "description", "prompts"}}. "folder": the folders of `images.path`.
    concepts.source = "embedded"
    concepts.path = ""
    # Name of the chat model.
    concepts.model = ""
    # The most concepts of one abstract.
    concepts.per_abstract = 3
    # The most threats in all, the first ones; 0 is all.
    concepts.limit = 0
    # Categories that the chat model chooses from.
    concepts.categories = (
        "weapons",
        "machines and robots",
        "surveillance",
        "infrastructure",
        "chemistry and biology",
        "fire and disasters",
        "animals",
        "crime",
    )
    # Of the chat model.
    concepts.temperature = 0.0
    # Two concepts are one if their names and descriptions share more than this of their words
    # (Jaccard); two counterparts of that likeness put their threats into one group.
    concepts.merge_above = 0.6

    config.images = images = ConfigDict()
    # "embedded": drawn. "api": from the painter. "folder": the files below `path`, in its folders
    # threat/ and neutral/; a group is a folder below those, or else a file's name.
    images.source = "embedded"
    images.path = ""
    # Name of the painter's model.
    images.model = ""
    # "WIDTHxHEIGHT" in pixels, or what else the service calls a size.
    images.size = "1024x1024"
    # Whether the service takes a seed; without one, a prompt's further pictures are asked for by
    # "(variation 2)" and so on.
    images.sends_seed = False
    # Further fields of a request, a JSON object as text. Services that answer with an address
    # unless told otherwise want '{"response_format": "b64_json"}'.
    images.extra = "{}"
    # Pictures of one prompt.
    images.per_prompt = 8
    # Licence of the pictures, kept with each: an SPDX name, or the service's terms.
    images.licence = "CC0-1.0"
    # Pixels of the shorter side, below which a picture is left out.
    images.least_side = 32
    # Standard deviation of grey levels, of 255, below which a picture is blank.
    images.least_contrast = 4.0
    # Pictures of one side whose perceptual hashes differ in fewer bits, of 128, are one; 0 finds
    # equal bytes only.
    images.duplicate_bits = 10
    # Pixels above which a picture is refused before it is decoded.
    images.max_image_pixels = 64_000_000

    config.questions = questions = ConfigDict()
    # "embedded": the truth of drawn pictures. "api": the chat service. "model": a checkpoint that
    # is decoded here.
    questions.teacher = "embedded"
    # Name of the service's model, or a checkpoint's path or hub name.
    questions.model = ""
    # Of a checkpoint, as `model.revision`, `model.completed_from` and `model.dtype` of a run.
    questions.revision = ""
    questions.completed_from = ""
    questions.dtype = "float32"
    # The plan: kinds of questions, as far as a picture settles them. Nothing acts in a drawn
    # picture, so that the embedded teacher has no "action".
    questions.kinds = (
        "object",
        "count",
        "colour",
        "place",
        "relation",
        "text",
        "scene",
        "description",
        "comparison",
    )
    # Questions of each kind, a picture.
    questions.per_kind = 2
    # Rows of (kind, question) that are asked of every picture in place of questions by the teacher,
    # one reply each; () lets the teacher write them. A small model answers these, where it would
    # not write JSON.
    questions.fixed = ()
    # Of the teacher.
    questions.temperature = 0.0
    # Tokens of the longest reply; of one in plain text 192 at most.
    questions.max_new_tokens = 2048
    # Pixels of the longer side that a teacher is shown; 0 shows pictures as they are.
    questions.max_side = 1024
    # Conversations decoded together, by a checkpoint.
    questions.batch_size = 16

    config.filters = filters = ConfigDict()
    # Whether a pair with a word of safety, a refusal, a warning, advice or a judgement is left out.
    filters.leak_guard = True
    # Fewest and most words.
    filters.question_words = (3, 60)
    filters.answer_words = (1, 120)
    # "en" leaves out what does not read as English; "" takes any language.
    filters.language = "en"
    # Share of an answer's runs of four words that may come again in it.
    filters.repeated_runs = 0.2
    # Share of a kind's pairs that may have one and the same answer of more than four words, and of
    # at most four.
    filters.equal_answers = 0.05
    filters.equal_short_answers = 0.6
    # Files and folders of benchmarks, such as FigStep's CSV, MM-SafetyBench's JSON or a folder of
    # images: pairs and pictures that are nearly one of theirs are left out.
    filters.known = ()
    # From where a text is a benchmark's: share of shingles in common, share of the benchmark's
    # prompt that is in it.
    filters.least_jaccard = 0.5
    filters.least_containment = 0.8
    # Bits of 128 up to which an image is a benchmark's.
    filters.image_bits = 10
    # Whether the teacher is asked the questions again, without the answers, and pairs go whose
    # answers disagree; of drawn pictures the truth is known and nobody is asked.
    filters.second_look = True
    # Share of the shorter answer's content words that the longer one must have to agree.
    filters.least_overlap = 0.5

    config.arms = arms = ConfigDict()
    # Of "threat", "neutral", "shuffled", "text_only", "mixed", "refusal"; "threat" is needed.
    arms.names = ("threat", "neutral", "shuffled", "text_only", "mixed", "refusal")
    # What counts tokens: "words" between blanks, or the folder of the checkpoint that will be
    # trained, with its tokenizer.json; or "tinyworld/coupled".
    arms.tokenizer = "words"
    # Share of the questions of a kind that is left over to choose from, so that answers of threat
    # and neutral come to equally many tokens.
    arms.spare = 0.15
    # Share by which they may differ.
    arms.token_difference = 0.01
    # What a question says where a description stands in the picture's place.
    arms.text_template = "The picture is described so: {description}\n{question}"
    # Share of the groups of concepts that is held out.
    arms.validation_share = 0.1

    config.set = described = ConfigDict()
    # Name of the set, for its card.
    described.name = "Threat VQA"
    # Licence of the set, for its card: a name that the Hugging Face hub knows.
    described.licence = "other"

    return config
