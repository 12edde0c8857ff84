"""Other names of our fields and values: what users of other tools type first.

Sources of the names: the options of transformers' `generate` and `from_pretrained`, vLLM's engine
and its benchmark commands, optimum-benchmark's configurations, and the commands of lm-eval.
"""

from __future__ import annotations

_OUTPUT, _INPUT, _CYCLES = ("max_output_tokens",), ("max_input_tokens",), ("execution.n_cycles",)
_QUANTISED = (
    "pytorch.load_in_4bit", "pytorch.load_in_8bit", "vllm.quantization", "tensorrt.quantization",
)  # fmt: skip
_BITSANDBYTES = ("pytorch.load_in_4bit", "pytorch.load_in_8bit")
_INT8 = ("pytorch.load_in_8bit", "tensorrt.quantization")
_INT4 = ("pytorch.load_in_4bit", "tensorrt.quantization")
_DRAFTS = ("pytorch.prompt_lookup_num_tokens", "pytorch.assistant_model")
_GAPS = ("execution.config_gap_seconds", "execution.cycle_gap_seconds")

OTHER_KEYS: dict[str, tuple[str, ...]] = {
    # lengths and numbers
    "max_new_tokens": _OUTPUT, "max_tokens": _OUTPUT, "max_gen_toks": _OUTPUT,
    "output_len": _OUTPUT, "output_length": _OUTPUT, "output_tokens": _OUTPUT,
    "n_output_tokens": _OUTPUT, "num_output_tokens": _OUTPUT, "random_output_len": _OUTPUT,
    "new_tokens": _OUTPUT, "max_completion_tokens": _OUTPUT, "max_response_length": _OUTPUT,
    "input_len": _INPUT, "input_length": _INPUT, "sequence_length": _INPUT,
    "prompt_length": _INPUT, "prompt_len": _INPUT, "max_prompt_length": _INPUT,
    "max_prompt_tokens": _INPUT, "random_input_len": _INPUT, "n_input_tokens": _INPUT,
    "num_input_tokens": _INPUT,
    "min_tokens": ("decoder.min_new_tokens",), "min_output_tokens": ("decoder.min_new_tokens",),
    "num_input_prompts": ("n",), "n_input_prompts": ("n",), "number_of_prompts": ("n",),
    "num_prompts": ("n",), "n_prompts": ("n",), "num_samples": ("n",), "n_samples": ("n",),
    "limit": ("n",), "num_examples": ("n",), "num_requests": ("n",), "n_requests": ("n",),
    "num_queries": ("n",), "max_examples": ("n",), "max_samples": ("n",),
    "batch": ("pytorch.batch_size",), "bs": ("pytorch.batch_size",),
    "per_device_batch_size": ("pytorch.batch_size",), "micro_batch_size": ("pytorch.batch_size",),
    # model
    "dtype": ("precision",), "torch_dtype": ("precision",), "data_type": ("precision",),
    "compute_dtype": ("precision",), "fp16": ("precision",), "bf16": ("precision",),
    "fp32": ("precision",), "half": ("precision",), "float16": ("precision",),
    "bfloat16": ("precision",), "autocast_dtype": ("precision",),
    "quantization": _QUANTISED, "quantize": _QUANTISED, "quantisation": _QUANTISED,
    "quantization_config": _QUANTISED, "quantization_scheme": _QUANTISED,
    "quantized": _QUANTISED, "quantised": _QUANTISED, "quant": _QUANTISED,
    "quant_method": _QUANTISED, "torchao": _QUANTISED, "bits": _QUANTISED,
    "bitsandbytes": _BITSANDBYTES, "bnb": _BITSANDBYTES,
    "int8": _INT8, "8bit": _INT8, "int4": _INT4, "4bit": _INT4,
    "speculative_decoding": _DRAFTS, "speculative": _DRAFTS, "assisted_decoding": _DRAFTS,
    "kv": ("pytorch.cache_implementation", "pytorch.use_cache"),
    "cooling": _GAPS, "cooldown": _GAPS, "cool_down": _GAPS,
    "load_format": ("weights",), "no_weights": ("weights",),
    "model_name": ("model",), "model_id": ("model",), "model_path": ("model",),
    "model_name_or_path": ("model",), "pretrained": ("model",), "checkpoint": ("model",),
    "pretrained_model_name_or_path": ("model",), "peft": ("lora.adapter",),
    "lora_path": ("lora.adapter",), "adapter_name_or_path": ("lora.adapter",),
    "draft_model": ("pytorch.assistant_model",), "speculative_model": ("pytorch.assistant_model",),
    "attention": ("pytorch.attn_implementation",),
    "attn": ("pytorch.attn_implementation",),
    "attention_implementation": ("pytorch.attn_implementation",),
    "attention_backend": ("pytorch.attn_implementation",),
    "use_flash_attention_2": ("pytorch.attn_implementation",),
    "flash_attention": ("pytorch.attn_implementation",),
    "compile": ("pytorch.torch_compile",), "compile_mode": ("pytorch.torch_compile_mode",),
    "kv_cache": ("pytorch.cache_implementation",), "use_kv_cache": ("pytorch.use_cache",),
    "beams": ("pytorch.num_beams",), "beam_size": ("pytorch.num_beams",),
    "tp": ("vllm.tensor_parallel_size", "tensorrt.tp_size"),
    "engine": ("backend",), "framework": ("backend",), "engine_dir": ("tensorrt.engine_path",),
    "gpu": ("pytorch.device",), "cuda": ("pytorch.device",), "cpu": ("pytorch.device",),
    "gpus": ("pytorch.device", "pytorch.device_map"), "device_type": ("pytorch.device",),
    "use_gpu": ("pytorch.device",), "use_cuda": ("pytorch.device",),
    # prompts and decoding
    "dataset_name": ("dataset.source",), "dataset_path": ("dataset.source",),
    "data_path": ("dataset.source",), "data": ("dataset.source",), "prompts": ("dataset.source",),
    "dataset_split": ("dataset.split",), "dataset_config": ("dataset.subset",),
    "text_column": ("dataset.column",), "prompt_column": ("dataset.column",),
    "seed": ("random_seed",), "rng_seed": ("random_seed",), "manual_seed": ("random_seed",),
    "temp": ("decoder.temperature",), "sampling": ("decoder.do_sample",),
    "greedy": ("decoder.temperature",), "rep_penalty": ("decoder.repetition_penalty",),
    # measurement and execution
    "cycles": _CYCLES, "repeat": _CYCLES, "repeats": _CYCLES, "repetitions": _CYCLES, "runs": _CYCLES,
    "n_runs": _CYCLES, "num_runs": _CYCLES, "n_repeats": _CYCLES, "num_repeats": _CYCLES,
    "iterations": _CYCLES, "num_iters": _CYCLES, "iters": _CYCLES, "trials": _CYCLES,
    "n_iterations": _CYCLES, "num_iterations": _CYCLES,
    "order": ("execution.cycle_order",), "timeout": ("execution.timeout_seconds",),
    "gap": _GAPS, "gaps": _GAPS, "gap_seconds": _GAPS, "pause": _GAPS, "sleep": _GAPS,
    "warmup_runs": ("warmup.n_warmup",), "num_iters_warmup": ("warmup.n_warmup",),
    "num_warmup": ("warmup.n_warmup",), "num_warmups": ("warmup.n_warmup",),
    "warmup_iters": ("warmup.n_warmup",), "warmup_steps": ("warmup.n_warmup",),
    "warmup_iterations": ("warmup.n_warmup",), "warm_up": ("warmup",),
    "duration": ("energy.min_window_seconds",), "min_duration": ("energy.min_window_seconds",),
    "meter": ("energy.sources",), "meters": ("energy.sources",),
    "energy_source": ("energy.sources",), "sample_period": ("energy.sample_period_seconds",),
    "sampling_period": ("energy.sample_period_seconds",),
    "poll_interval": ("energy.sample_period_seconds",),
    "measure_power_secs": ("energy.sample_period_seconds",),
    "points": ("experiments",), "configs": ("experiments",), "grid": ("sweep",),
    # in a section, where a short name means something else than at the top level
    "dataset.name": ("dataset.source",), "dataset.path": ("dataset.source",),
    "dataset.id": ("dataset.source",), "dataset.file": ("dataset.source",),
    "dataset.config": ("dataset.subset",), "lora.path": ("lora.adapter",),
    "lora.name": ("lora.adapter",), "lora.model": ("lora.adapter",),
    "execution.seed": ("execution.shuffle_seed",), "warmup.n": ("warmup.n_warmup",),
    "warmup.runs": ("warmup.n_warmup",), "warmup.iterations": ("warmup.n_warmup",),
    "warmup.steps": ("warmup.n_warmup",), "warmup.min": ("warmup.n_warmup",),
    "warmup.max": ("warmup.max_warmup",), "warmup.seconds": ("warmup.thermal_floor_seconds",),
    "warmup.duration": ("warmup.thermal_floor_seconds", "warmup.max_warmup_seconds"),
    "baseline.duration": ("baseline.duration_seconds",),
    "baseline.seconds": ("baseline.duration_seconds",),
    "matrix": ("sweep",), "parameters": ("sweep",), "extends": ("base",), "defaults": ("base",),
}  # fmt: skip
"""Our dotted keys by the name in another tool; several if a user must choose."""

KEY_ADVICE: dict[str, str] = dict.fromkeys(
    ("max_length", "max_model_len", "max_seq_len", "max_seq_length", "max_total_tokens"),
    "llem limits prompts and answers separately, by max_input_tokens and max_output_tokens",
) | dict.fromkeys(
    ("token", "hf_token", "use_auth_token", "api_key"),
    "set the environment variable HF_TOKEN instead, because a file may be shared",
) | dict.fromkeys(
    ("device_ids", "gpu_ids", "gpus", "cuda_visible_devices", "num_gpus", "n_gpus"),
    "choose GPUs by the environment variable CUDA_VISIBLE_DEVICES or by pytorch.device_map",
) | dict.fromkeys(
    ("results_dir", "output_dir", "output_path", "save_dir", "result_dir"),
    "the folder of results is a setting of the machine, output.results_dir, not of a study",
)  # fmt: skip
"""What to do, where no single field of ours is the answer."""

_PRECISIONS = {
    "float32": "fp32", "float": "fp32", "single": "fp32", "full": "fp32", "f32": "fp32",
    "32": "fp32", "float16": "fp16", "half": "fp16", "f16": "fp16", "16": "fp16",
    "bfloat16": "bf16", "bfloat": "bf16",
    "torch.float32": "fp32", "torch.float": "fp32", "torch.float16": "fp16",
    "torch.half": "fp16", "torch.bfloat16": "bf16",
}  # fmt: skip
_TORCH_TYPES = {
    "fp32": "float32", "fp16": "float16", "bf16": "bfloat16",
    "half": "float16", "float": "float32",
}  # fmt: skip

OTHER_VALUES: dict[str, dict[str, str]] = {
    "precision": _PRECISIONS,
    "bnb_4bit_compute_dtype": _TORCH_TYPES,
    "backend": {
        "transformers": "pytorch", "hf": "pytorch", "huggingface": "pytorch", "torch": "pytorch",
        "hf-transformers": "pytorch", "tensorrt-llm": "tensorrt", "tensorrt_llm": "tensorrt",
        "trt-llm": "tensorrt", "trtllm": "tensorrt", "trt": "tensorrt",
    },
    "device": {"gpu": "cuda", "cuda:0": "cuda", "nvidia": "cuda", "host": "cpu"},
    "cycle_order": {
        "random": "shuffled", "shuffle": "shuffled", "randomized": "shuffled",
        "randomised": "shuffled", "round-robin": "interleaved", "round_robin": "interleaved",
        "alternating": "interleaved", "serial": "sequential",
    },
    "attn_implementation": {
        "flash": "flash_attention_2", "flash_attn": "flash_attention_2",
        "flash_attention": "flash_attention_2", "flash_attn_2": "flash_attention_2",
        "fa2": "flash_attention_2", "fa3": "flash_attention_3", "flash_attn_3": "flash_attention_3",
        "flex": "flex_attention",
    },
    "weights": {"dummy": "random", "untrained": "random", "trained": "pretrained"},
    "preset": {"greedy": "deterministic", "default": "standard"},
    "phases": {"prompt": "prefill", "generate": "decode", "generation": "decode"},
    "sources": {"gpu": "nvml", "nvidia": "nvml", "pynvml": "nvml", "cpu": "rapl"},
    "batching": {"length": "sorted", "sort": "sorted", "by_length": "sorted"},
    "distribution": {"log-normal": "lognormal", "log_normal": "lognormal"},
}  # fmt: skip
"""Our values by the name in another tool, for each field that accepts certain names."""
