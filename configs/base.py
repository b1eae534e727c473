"""Every key of a config: what it means, its unit, its default.

An experiment is a file of its own that starts from `get_config()` and lists its differences. A
key can be set on the command line: `--config.lora.rank=4 --config.data.budgets="((512, 520),)"`.
Keys named `*_every` count optimizer steps; 0 is off.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The defaults."""
    config = ConfigDict()

    # One seed for everything that is drawn: adapter or model init, order of records, packing,
    # and what the embedded world draws.
    config.seed = 0
    # Optimizer steps of the whole run. A resumed run may ask for more.
    config.steps = 1000
    # Packed rows of an optimizer step, over the whole mesh.
    config.batch_rows = 8
    # A step's rows are worked off in this many equal parts, to save memory; the step is the same.
    config.micro_batches = 1
    # Steps between checkpoints; the last step is saved too. 0 saves none, not even the last.
    config.checkpoint_every = 100
    # Checkpoints kept, newest first.
    config.checkpoint_keep = 3
    # Steps between held-out loss and probe; see `probe`.
    config.eval_every = 100
    # Whether metrics.jsonl is written as TensorBoard events too.
    config.tensorboard = True
    # Project of Weights & Biases that metrics are sent to as well; "" sends nothing. The extra
    # `wandb` is needed; its own environment variables (WANDB_MODE, WANDB_API_KEY ...) hold.
    config.wandb_project = ""
    # Whether a progress bar is drawn on a terminal.
    config.progress = True
    # Directory of compiled programs, which a run that starts again reads; processes may share it.
    # "" keeps none.
    config.compile_cache = ""

    config.model = model = ConfigDict()
    # Directory of a Hugging Face checkpoint, the name of one on the hub ("owner/name"), or
    # "tinyworld/coupled" or "tinyworld/uncoupled". "" is that of the run that is evaluated or
    # exported, in its dtype.
    model.path = "tinyworld/coupled"
    # Branch, tag or commit of a hub name; the commit is kept in the manifest. "" is the newest.
    model.revision = ""
    # Keys that the checkpoint's config.json leaves to its library's defaults are read from the
    # written-out config of a paper model, by name; "" is an error at the first such key.
    model.completed_from = ""
    # Pixels of the largest image, above which it is scaled down, in training and evaluation;
    # Qwen families only. 0 is the checkpoint's own bound.
    model.max_pixels = 0
    # Whether what a frozen tower says of each image is computed once and kept in
    # WORKDIR/vision_cache: about 1.2 MB an image of LLaVA-1.5, 38 MB a megapixel of Qwen3-VL-8B.
    model.cache_vision = False
    # "weights": from *.safetensors. "random": drawn from `seed`; all other files are read.
    model.init = "weights"
    # dtype of the base and of what flows through it: "float32" or "bfloat16". What is trained is
    # kept in float32.
    model.dtype = "float32"
    # "int8" keeps the matrices of the blocks of tower and language model as int8 with one float32
    # scale a column, half the memory of bfloat16; the base must be frozen. "none" keeps `dtype`.
    model.quantize = "none"

    config.train = train = ConfigDict()
    # "lora": an adapter beside the frozen base. "full": every parameter.
    train.mode = "lora"
    # What the language model's backward pass keeps, from most memory to least; the rest is
    # computed again: "none" is all of it, "matmuls" the results of matrix products, "attention"
    # that of attention and a block's input, "blocks" a block's input, "offload" nothing on the
    # device: a block's input goes to the host's memory.
    train.remat = "none"
    # The same of the vision tower; it matters only where something in or before it is trained.
    train.vision_remat = "none"
    # Backend of attention: "auto" chooses by device; "reference" holds the scores whole, "xla" in
    # chunks; "pallas_tpu" and "pallas_gpu" are errors where they cannot run.
    train.attention = "auto"
    # Weight of (log Z)^2 in the loss of a token, Z the sum of its exponentiated logits: keeps
    # logits of a trained head from drifting. 1e-4 is usual; 0 is off.
    train.z_loss = 0.0
    # Share of a token's target that is spread over the whole vocabulary, below 1. The held-out
    # loss has neither.
    train.label_smoothing = 0.0
    # Start even where WORKDIR/plan.json says that the job does not fit these devices.
    train.despite_plan = False

    config.lora = lora = ConfigDict()
    # Rank R of the update, A [D, R] B [R, F].
    lora.rank = 8
    # The update is scaled by alpha / rank.
    lora.alpha = 16.0
    # Which linear layers: of "attention", "mlp", "projector", "vision", or regular expressions
    # over a layer's whole name.
    lora.targets = ("attention", "mlp")
    # Weight-decomposed update (DoRA): each column's magnitude is trained apart.
    lora.dora = False
    # Scales the update by alpha / sqrt(rank) instead, so that larger ranks learn as fast.
    lora.rank_stabilized = False

    config.optimizer = optimizer = ConfigDict()
    # Peak of the schedule.
    optimizer.learning_rate = 2e-4
    # "cosine": linear warm-up, then cosine down to `final_share` of the peak.
    optimizer.schedule = "cosine"
    # Steps from 0 up to the peak.
    optimizer.warmup_steps = 10
    # Step at which the schedule ends; 0 = `steps`. Set it if a run may be asked for more later.
    optimizer.schedule_steps = 0
    # Share of the peak that is left at the end.
    optimizer.final_share = 0.1
    # AdamW's decay of matrices; scales and biases never decay.
    optimizer.weight_decay = 0.0
    # Decay rates of AdamW's first and second moment.
    optimizer.b1 = 0.9
    optimizer.b2 = 0.999
    # AdamW's epsilon.
    optimizer.eps = 1e-8
    # Gradients are scaled down to this global L2 norm.
    optimizer.clip_norm = 1.0
    # Share of the learning rate that the tower, the projector and the language model get; a part
    # at 0 is frozen and takes no memory of gradients and moments.
    optimizer.vision_rate = 1.0
    optimizer.projector_rate = 1.0
    optimizer.language_rate = 1.0
    # Whether the moments lie in the host's memory between steps; TPUs and GPUs only.
    optimizer.offload = False

    config.data = data = ConfigDict()
    # Folder made by `vsfa_jax.data.build`, or "tinyworld/coupled" or "tinyworld/uncoupled".
    data.path = "tinyworld/coupled"
    # What is trained on. Embedded: "threat", "neutral", "text_only", "mixed", "shuffled",
    # "vague", "refusal", and "base" and "questions", the text of the base model.
    data.arm = "threat"
    # Records drawn for training and held out; the embedded world only.
    data.size = 4000
    data.validation_size = 128
    # The shapes (tokens, patches) that a packed row may have, ascending, one to four. A record
    # goes to the smallest that it fits; one that fits none is dropped and counted.
    data.budgets = ((512, 520),)
    # Pixels above which an image is refused.
    data.max_image_pixels = 64_000_000
    # Threads of a process that decode and encode records.
    data.num_threads = 2

    config.mesh = mesh = ConfigDict()
    # Devices along each axis; -1, at most once, is the rest. `data` and `fsdp` share the rows of
    # a batch, `fsdp` shards parameters too, `tensor` splits matrices.
    mesh.data = -1
    mesh.fsdp = 1
    mesh.tensor = 1

    config.eval = evaluation = ConfigDict()
    # Results go to WORKDIR/eval/NAME.
    evaluation.name = "main"
    # Folders of `vsfa_jax/benchmarks/`.
    evaluation.benchmarks = ("tinyworld",)
    # The folder that holds your own copy of each set under the benchmark's name. Links are
    # followed. The embedded world needs none.
    evaluation.root = ""
    # Cases of each kind, spread over its categories; questions about neutral things and about
    # threats are two kinds. 0 is every case of a set.
    evaluation.per_kind = 100
    # What attacks show: "image" what belongs to them, "blank_image" a blank of its size, "no_image"
    # none, "caption_only" its description in words. Each is counted apart.
    evaluation.modes = ("image",)
    # Whether the run's trained model is asked; without it the base alone is, `model.path`, in a
    # workdir that need not hold a run.
    evaluation.tuned = True
    # The checkpoint's step; 0 is the newest good one. Evaluations of several steps, each with a
    # name of its own, share one picture in the report.
    evaluation.step = 0
    # Defences at inference time, answered by the base beside it: "adashield_s", "ecso",
    # "system_prompt"; see vsfa_jax/defences.
    evaluation.defences = ()
    # Judges of attacks and harmless requests, files of `vsfa_jax/judges/`: "own" is the one that
    # the benchmark names. The first is counted; the others judge the same answers, for agreement.
    evaluation.judges = ("own",)
    # Whether answers to attacks and harmless requests get a constructive score too. It takes a
    # judge that asks a model.
    evaluation.constructive = False
    # Share of a model's answers to a benchmark's cases of a kind that may be unjudged. Over it the
    # command ends with status 1; the table is written all the same.
    evaluation.max_unjudged = 0.02
    # Tokens of the longest answer.
    evaluation.max_new_tokens = 48
    # Of sampled cases; questions with one right answer are always decoded greedily.
    evaluation.temperature = 1.0
    # Conversations decoded together.
    evaluation.batch_size = 64
    # Draws the cases. Each case samples with a seed of its own, the same for base and tuned.
    evaluation.seed = 0

    config.judge = judge = ConfigDict()
    # Name of the model that judges "api" and "constructive" ask.
    judge.model = "gpt-4o-mini"
    # Of an OpenAI-compatible service; "" is the environment's OPENAI_BASE_URL, else OpenAI's own.
    judge.base_url = ""
    # Environment variable that holds the service's key. A key is never a setting.
    judge.key_variable = "OPENAI_API_KEY"
    # File of what was asked and paid, which is not asked again; "" is WORKDIR/judged.sqlite.
    judge.cache = ""
    # Requests under way at a time.
    judge.concurrency = 16
    # Times that a request is made again after a fault that may pass.
    judge.retries = 4
    # Seconds until a request counts as lost.
    judge.timeout_s = 60.0
    # Tokens of the longest reply.
    judge.max_tokens = 512
    # US dollars that an evaluation may spend on all its judges, however often it is begun; 0 is no
    # bound.
    judge.budget_usd = 0.0
    # US dollars for a million tokens of the requests and of the replies; 0 and 0 is not known.
    judge.usd_per_million_input = 0.0
    judge.usd_per_million_output = 0.0
    # Checkpoint that judge "local" asks: a directory or a hub name.
    judge.path = ""
    # dtype of that checkpoint: "float32" or "bfloat16".
    judge.dtype = "bfloat16"
    # Answers that it judges together.
    judge.batch_size = 16

    config.probe = probe = ConfigDict()
    # Cases of each kind that are answered every `eval_every` steps; 0 leaves the held-out loss.
    probe.per_kind = 16
    # As in `eval`.
    probe.max_new_tokens = 48
    probe.temperature = 1.0
    probe.batch_size = 64

    config.study = study = ConfigDict()
    # Values of `data.arm` and of `seed`: one run each; none outside a study.
    study.arms = ()
    study.seeds = ()

    return config
