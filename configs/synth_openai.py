"""From abstracts to a set through OpenAI's services, or any that speak as they do.

python -m vsfa_jax.synth --config=configs/synth_openai.py --out=sets/threat \
    --config.concepts.path=abstracts.xml --dry_run
python -m vsfa_jax.synth --config=configs/synth_openai.py --out=sets/threat \
    --config.concepts.path=abstracts.xml --budget_usd=20

`abstracts.xml` is what arXiv's API answers to a query, saved. The key comes from OPENAI_API_KEY.
Another painter has its own address and key: Seedream on Ark by
--config.painter.base_url=https://ark.cn-beijing.volces.com/api/v3
--config.painter.key_variable=ARK_API_KEY --config.images.model=MODEL and
--config.images.extra='{"response_format": "b64_json"}'. What it should show: the dry run's sum
before anything is paid, then a set of about 40 threats, each with its neutral counterpart. The
prices are examples: set those of your contract. It has been run against a local server only.
"""

from ml_collections import ConfigDict

from configs import synth_base


def get_config() -> ConfigDict:
    """The differences from configs/synth_base.py."""
    config = synth_base.get_config()
    config.concepts.source = "abstracts"
    config.concepts.path = "abstracts.xml"
    config.concepts.model = "gpt-4o-mini"
    config.concepts.limit = 40
    config.images.source = "api"
    config.images.model = "gpt-image-1-mini"
    config.images.extra = '{"quality": "medium"}'
    config.images.per_prompt = 2
    config.images.licence = "other"
    config.images.least_side = 256
    config.questions.teacher = "api"
    config.questions.model = "gpt-4o"
    config.questions.kinds = (*config.questions.kinds, "action")
    config.prices = (
        ("gpt-4o-mini", 0.15, 0.6, 0.0),
        ("gpt-4o", 2.5, 10.0, 0.0),
        ("gpt-image-1-mini", 0.0, 0.0, 0.011),
    )
    return config
