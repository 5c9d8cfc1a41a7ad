"""The text of ``attnexport --help``: commands and common options on one page."""

from __future__ import annotations

from ..version import __version__

HELP = f"""attnexport {__version__}: trained attention models to ONNX and TensorRT FP16, verified against FP64

usage:  attnexport MODEL [options]         export MODEL to the bundle NAME.attn
        attnexport check NAME.attn         verify a bundle again, without torch
        attnexport rebuild NAME.attn       rebuild its engines for this GPU and TensorRT
        attnexport inspect NAME.attn       print rewrites with reasons, precisions, engine layers
        attnexport report NAME.attn [--bench FILE]      write its report again, with a benchmark
        attnexport decode NAME.attn --tokens "5 8 12"   run its encoder and decoder step
        attnexport debug MODEL [options]   find where an error begins; write files that reproduce it
        attnexport bench NAME.attn|MODEL   time and memory beside PyTorch and the plain export
        attnexport scan MODEL              list what each target cannot run, or runs slowly
        attnexport doctor [--probe]        print what works here and what to install
        attnexport triton NAME.attn --out REPO          write a Triton model repository
        attnexport serve NAME.attn         serve it with Triton, verified with golden inputs
        attnexport models [NAME]           list the networks of --arch; NAME: one, with its options

MODEL:  a checkpoint of attnexport.save, .pt/.pth/.safetensors weights, .pt2, TorchScript, .onnx,
        or package.module:callable

  --trt[=rtx|enterprise]     build a TensorRT engine; by default with the installed TensorRT
  -o, --out PATH             path of the bundle (default: NAME.attn);  -f, --force  replace it
  --arch NAME                architecture of a state dict;  --factory package.module:callable
  --kwargs JSON              arguments of the architecture;  --random-weights  without a file
  --input x=1x3x224x224      shape (and :dtype) of an input that the model does not store
  --dynamic x:0=1:4:16       min:opt:max of an axis (default: axis 0);  --static  no dynamic axis
  --samples FILE.npz|FOLDER  real inputs, or images (--image-mean, --image-std), for parity
  --limit N  --beam-width W  limits of decoding;  --whole  an encoder-decoder as one graph
  --outputs attention        add attention maps, for inspect NAME.attn --attention IMAGE
  --precision auto|fp16|bf16|fp32  FP16 by measured error (default) or rules; BF16; FP32
  --precision int8|fp8       8-bit layers, calibrated on --samples;  --calibration METHOD
  --target ort-cpu|ort-cuda|…  make model.onnx fast on it;  --tune  time the lowerings
  --gate FACTOR              largest error, as a multiple of PyTorch's (default 2);  --keep-failed
  --allow-pickle             run pickled code, which never runs otherwise: only for trusted files
  --json  --quiet  --debug   one JSON object; only the result; tracebacks

example: attnexport examples/digits_stn_cbam.pt --trt --samples examples/digits_samples.npz
All options: attnexport export --help.  Exit codes: 0 success, 1 failed stage or gate, 2 bad input.
"""
