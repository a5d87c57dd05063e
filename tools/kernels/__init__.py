"""How the kernels of `dsp` become a library; the command is `tools.build_kernels`, the caller `dsp.compiled`."""
