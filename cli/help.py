"""What ``attnexport`` alone and ``attnexport --help`` print: the options that people use, on one page."""

from __future__ import annotations

from ..version import __version__

HELP = f"""attnexport {__version__}: trained attention models to ONNX and TensorRT FP16, verified against FP64

usage:  attnexport MODEL [options]         export MODEL to the bundle NAME.attn
        attnexport check NAME.attn         prove a bundle again, without torch
        attnexport rebuild NAME.attn       its engines again, for the GPU and TensorRT that are here
        attnexport inspect NAME.attn       what was rewritten and why, precisions, engine layers
        attnexport report NAME.attn [--bench FILE]      its report.html again, with a benchmark
        attnexport decode NAME.attn --tokens "5 8 12"   run its encoder and decoder step
        attnexport debug MODEL [options]   where the error comes from, and a file that reproduces it
        attnexport bench NAME.attn|MODEL   timed beside PyTorch and the plain export; memory, chart
        attnexport scan MODEL              what each target cannot run, or runs slowly, by module
        attnexport doctor [--probe]        what works here, what to install; --probe measures it
        attnexport triton NAME.attn --out REPO          a Triton model repository to serve
        attnexport serve NAME.attn         behind Triton, once golden inputs were answered correctly
        attnexport models [NAME]           what --arch knows, counted; NAME: with its options

MODEL:  a checkpoint of attnexport.save, .pt/.pth/.safetensors weights, .pt2, TorchScript, .onnx,
        or package.module:callable

  --trt[=rtx|enterprise]     build a TensorRT engine; alone, it takes what is installed and says so
  -o, --out PATH             where the bundle goes (default: NAME.attn);  -f, --force  replace it
  --arch NAME                of a plain state dict;  --factory package.module:callable  your own
  --kwargs JSON              arguments of the architecture;  --random-weights  no weights file
  --input x=1x3x224x224      shape (and :dtype) of an input, where the model does not store it
  --dynamic x:0=1:4:16       min:opt:max of an axis (axis 0 by default);  --static  none is free
  --samples FILE.npz|FOLDER  real inputs, or images (--image-mean, --image-std), for parity
  --limit N  --beam-width W  an encoder-decoder network's decodes;  --whole  as one graph instead
  --outputs attention        attention maps as outputs, for inspect NAME.attn --attention IMAGE
  --precision auto|fp16|bf16|fp32  FP16 by measured error (default) or by rules; BF16; none
  --precision int8|fp8       layers in 8 bits, calibrated on --samples;  --calibration METHOD
  --target ort-cpu|ort-cuda|…  what model.onnx should be quick on;  --tune  time the forms here
  --gate FACTOR              error allowed, a multiple of PyTorch's own (default 2);  --keep-failed
  --allow-pickle             run the code inside a pickled module: only for files that you trust
  --json  --quiet  --debug   for machines; only the result; with tracebacks

example: attnexport examples/digits_stn_cbam.pt --trt --samples examples/digits_samples.npz
All options: attnexport export --help.  Exit codes: 0 good, 1 a failed stage or gate, 2 bad input.
"""
