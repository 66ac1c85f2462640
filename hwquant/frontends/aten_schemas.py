"""Every overload of an ATen operator that has a translation, as torch declares it.

An argument that is named here is used by the operator's importer, unless `aten_declared` says that it is
irrelevant, or at which value it is harmless. A test holds all of it against torch's own schemas: it is apart from
`aten_operators.OPERATORS` because it is torch's text, compared line by line.
"""

from __future__ import annotations

SCHEMAS = """
abs(Tensor self) -> Tensor
acos(Tensor self) -> Tensor
acosh(Tensor self) -> Tensor
adaptive_avg_pool1d(Tensor self, int[1] output_size) -> Tensor
_adaptive_avg_pool2d(Tensor self, int[2] output_size) -> Tensor
adaptive_avg_pool2d(Tensor self, int[2] output_size) -> Tensor
adaptive_max_pool1d(Tensor self, int[1] output_size) -> (Tensor, Tensor)
adaptive_max_pool2d(Tensor self, int[2] output_size) -> (Tensor, Tensor)
add.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor
add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor
addmm(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor
alias(Tensor(a) self) -> Tensor(a)
alpha_dropout(Tensor input, float p, bool train) -> Tensor
amax(Tensor self, int[1] dim=[], bool keepdim=False) -> Tensor
amin(Tensor self, int[1] dim=[], bool keepdim=False) -> Tensor
arange(Scalar end, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None)
  -> Tensor
arange.start(Scalar start, Scalar end, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None,
  bool? pin_memory=None) -> Tensor
arange.start_step(Scalar start, Scalar end, Scalar step=1, *, ScalarType? dtype=None, Layout? layout=None,
  Device? device=None, bool? pin_memory=None) -> Tensor
argmax(Tensor self, int? dim=None, bool keepdim=False) -> Tensor
asin(Tensor self) -> Tensor
asinh(Tensor self) -> Tensor
_assert_async(Tensor self) -> ()
_assert_async.msg(Tensor self, str assert_msg) -> ()
_assert_scalar(Scalar self, str assert_msg) -> ()
_assert_tensor_metadata(Tensor a, int[]? size=None, int[]? stride=None, ScalarType? dtype=None, *, Device?
  device=None, Layout? layout=None) -> ()
atan(Tensor self) -> Tensor
atanh(Tensor self) -> Tensor
avg_pool1d(Tensor self, int[1] kernel_size, int[1] stride=[], int[1] padding=[0], bool ceil_mode=False,
  bool count_include_pad=True) -> Tensor
avg_pool2d(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, bool ceil_mode=False, bool
  count_include_pad=True, int? divisor_override=None) -> Tensor
batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool
  training, float momentum, float eps, bool cudnn_enabled) -> Tensor
bmm(Tensor self, Tensor mat2) -> Tensor
broadcast_to(Tensor(a) self, int[] size) -> Tensor(a)
cat(Tensor[] tensors, int dim=0) -> Tensor
ceil(Tensor self) -> Tensor
celu(Tensor self, Scalar alpha=1.) -> Tensor
channel_shuffle(Tensor self, int groups) -> Tensor
chunk(Tensor(a -> *) self, int chunks, int dim=0) -> Tensor(a)[]
clamp(Tensor self, Scalar? min=None, Scalar? max=None) -> Tensor
clamp.Tensor(Tensor self, Tensor? min=None, Tensor? max=None) -> Tensor
clamp_max(Tensor self, Scalar max) -> Tensor
clamp_max.Tensor(Tensor self, Tensor max) -> Tensor
clamp_min(Tensor self, Scalar min) -> Tensor
clamp_min.Tensor(Tensor self, Tensor min) -> Tensor
clip(Tensor self, Scalar? min=None, Scalar? max=None) -> Tensor
clip.Tensor(Tensor self, Tensor? min=None, Tensor? max=None) -> Tensor
clone(Tensor self, *, MemoryFormat? memory_format=None) -> Tensor
concat(Tensor[] tensors, int dim=0) -> Tensor
concatenate(Tensor[] tensors, int dim=0) -> Tensor
constant_pad_nd(Tensor self, int[] pad, Scalar value=0) -> Tensor
contiguous(Tensor(a) self, *, MemoryFormat memory_format=0) -> Tensor(a)
conv1d(Tensor input, Tensor weight, Tensor? bias=None, int[1] stride=[1], int[1] padding=[0], int[1]
  dilation=[1], int groups=1) -> Tensor
conv1d.padding(Tensor input, Tensor weight, Tensor? bias=None, int[1] stride=[1], str padding="valid", int[1]
  dilation=[1], int groups=1) -> Tensor
conv2d(Tensor input, Tensor weight, Tensor? bias=None, int[2] stride=[1, 1], int[2] padding=[0, 0], int[2]
  dilation=[1, 1], int groups=1) -> Tensor
conv2d.padding(Tensor input, Tensor weight, Tensor? bias=None, int[2] stride=[1, 1], str padding="valid",
  int[2] dilation=[1, 1], int groups=1) -> Tensor
conv_transpose1d(Tensor input, Tensor weight, Tensor? bias=None, int[1] stride=[1], int[1] padding=[0], int[1]
  output_padding=[0], int groups=1, int[1] dilation=[1]) -> Tensor
conv_transpose2d.input(Tensor input, Tensor weight, Tensor? bias=None, int[2] stride=[1, 1], int[2]
  padding=[0, 0], int[2] output_padding=[0, 0], int groups=1, int[2] dilation=[1, 1]) -> Tensor
convolution(Tensor input, Tensor weight, Tensor? bias, int[] stride, int[] padding, int[] dilation, bool
  transposed, int[] output_padding, int groups) -> Tensor
cos(Tensor self) -> Tensor
cosh(Tensor self) -> Tensor
detach(Tensor(a) self) -> Tensor(a)
div.Scalar(Tensor self, Scalar other) -> Tensor
div.Scalar_mode(Tensor self, Scalar other, *, str? rounding_mode) -> Tensor
div.Tensor(Tensor self, Tensor other) -> Tensor
div.Tensor_mode(Tensor self, Tensor other, *, str? rounding_mode) -> Tensor
dot(Tensor self, Tensor tensor) -> Tensor
dropout(Tensor input, float p, bool train) -> Tensor
einsum(str equation, Tensor[] tensors, *, int[]? path=None) -> Tensor
elu(Tensor self, Scalar alpha=1, Scalar scale=1, Scalar input_scale=1) -> Tensor
eq.Scalar(Tensor self, Scalar other) -> Tensor
eq.Tensor(Tensor self, Tensor other) -> Tensor
erf(Tensor self) -> Tensor
erfc(Tensor self) -> Tensor
exp(Tensor self) -> Tensor
exp2(Tensor self) -> Tensor
expand(Tensor(a) self, int[] size, *, bool implicit=False) -> Tensor(a)
expand_as(Tensor(a) self, Tensor other) -> Tensor(a)
expm1(Tensor self) -> Tensor
feature_alpha_dropout(Tensor input, float p, bool train) -> Tensor
feature_dropout(Tensor input, float p, bool train) -> Tensor
flatten.using_ints(Tensor(a) self, int start_dim=0, int end_dim=-1) -> Tensor(a)
flip(Tensor self, int[] dims) -> Tensor
floor(Tensor self) -> Tensor
fmod.Scalar(Tensor self, Scalar other) -> Tensor
frac(Tensor self) -> Tensor
full(int[] size, Scalar fill_value, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None,
  bool? pin_memory=None) -> Tensor
ge.Scalar(Tensor self, Scalar other) -> Tensor
ge.Tensor(Tensor self, Tensor other) -> Tensor
gelu(Tensor self, *, str approximate="none") -> Tensor
gt.Scalar(Tensor self, Scalar other) -> Tensor
gt.Tensor(Tensor self, Tensor other) -> Tensor
hardshrink(Tensor self, Scalar lambd=0.5) -> Tensor
hardsigmoid(Tensor self) -> Tensor
hardswish(Tensor self) -> Tensor
hardtanh(Tensor self, Scalar min_val=-1, Scalar max_val=1) -> Tensor
index.Tensor(Tensor self, Tensor?[] indices) -> Tensor
index_select(Tensor self, int dim, Tensor index) -> Tensor
le.Scalar(Tensor self, Scalar other) -> Tensor
le.Tensor(Tensor self, Tensor other) -> Tensor
leaky_relu(Tensor self, Scalar negative_slope=0.01) -> Tensor
lift_fresh_copy(Tensor self) -> Tensor
linalg_vector_norm(Tensor self, Scalar ord=2, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None)
  -> Tensor
linear(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor
log(Tensor self) -> Tensor
log10(Tensor self) -> Tensor
log1p(Tensor self) -> Tensor
log2(Tensor self) -> Tensor
log_sigmoid(Tensor self) -> Tensor
log_sigmoid_forward(Tensor self) -> (Tensor output, Tensor buffer)
_log_softmax(Tensor self, int dim, bool half_to_float) -> Tensor
log_softmax.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor
lt.Scalar(Tensor self, Scalar other) -> Tensor
lt.Tensor(Tensor self, Tensor other) -> Tensor
matmul(Tensor self, Tensor other) -> Tensor
max(Tensor self) -> Tensor
max.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)
max.other(Tensor self, Tensor other) -> Tensor
max_pool1d(Tensor self, int[1] kernel_size, int[1] stride=[], int[1] padding=[0], int[1] dilation=[1], bool
  ceil_mode=False) -> Tensor
max_pool2d(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, int[2] dilation=1, bool
  ceil_mode=False) -> Tensor
max_pool2d_with_indices(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, int[2]
  dilation=1, bool ceil_mode=False) -> (Tensor, Tensor)
maximum(Tensor self, Tensor other) -> Tensor
mean(Tensor self, *, ScalarType? dtype=None) -> Tensor
mean.dim(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor
min(Tensor self) -> Tensor
min.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)
min.other(Tensor self, Tensor other) -> Tensor
minimum(Tensor self, Tensor other) -> Tensor
mish(Tensor self) -> Tensor
mm(Tensor self, Tensor mat2) -> Tensor
movedim.int(Tensor(a) self, int source, int destination) -> Tensor(a)
movedim.intlist(Tensor(a) self, int[] source, int[] destination) -> Tensor(a)
mul.Scalar(Tensor self, Scalar other) -> Tensor
mul.Tensor(Tensor self, Tensor other) -> Tensor
mv(Tensor self, Tensor vec) -> Tensor
narrow(Tensor(a) self, int dim, int start, int length) -> Tensor(a)
_native_batch_norm_legit_no_training(Tensor input, Tensor? weight, Tensor? bias, Tensor running_mean,
  Tensor running_var, float momentum, float eps) -> (Tensor, Tensor, Tensor)
native_channel_shuffle(Tensor self, int groups) -> Tensor
ne.Scalar(Tensor self, Scalar other) -> Tensor
ne.Tensor(Tensor self, Tensor other) -> Tensor
neg(Tensor self) -> Tensor
numpy_T(Tensor(a) self) -> Tensor(a)
ones(int[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None)
  -> Tensor
pad(Tensor self, int[] pad, str mode="constant", float? value=None) -> Tensor
permute(Tensor(a) self, int[] dims) -> Tensor(a)
pixel_shuffle(Tensor self, int upscale_factor) -> Tensor
pixel_unshuffle(Tensor self, int downscale_factor) -> Tensor
pow.Scalar(Scalar self, Tensor exponent) -> Tensor
pow.Tensor_Scalar(Tensor self, Scalar exponent) -> Tensor
pow.Tensor_Tensor(Tensor self, Tensor exponent) -> Tensor
prelu(Tensor self, Tensor weight) -> Tensor
reciprocal(Tensor self) -> Tensor
reflection_pad1d(Tensor self, int[2] padding) -> Tensor
reflection_pad2d(Tensor self, int[4] padding) -> Tensor
relu(Tensor self) -> Tensor
relu6(Tensor self) -> Tensor
repeat(Tensor self, int[] repeats) -> Tensor
repeat_interleave.self_int(Tensor self, int repeats, int? dim=None, *, int? output_size=None) -> Tensor
replication_pad1d(Tensor self, int[2] padding) -> Tensor
replication_pad2d(Tensor self, int[4] padding) -> Tensor
reshape(Tensor(a) self, int[] shape) -> Tensor(a)
reshape_as(Tensor(a) self, Tensor other) -> Tensor(a)
roll(Tensor self, int[1] shifts, int[1] dims=[]) -> Tensor
round(Tensor self) -> Tensor
rsqrt(Tensor self) -> Tensor
rsub.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor
rsub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor
scalar_tensor(Scalar s, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool?
  pin_memory=None) -> Tensor
select.int(Tensor(a) self, int dim, int index) -> Tensor(a)
selu(Tensor self) -> Tensor
sigmoid(Tensor self) -> Tensor
sign(Tensor self) -> Tensor
silu(Tensor self) -> Tensor
sin(Tensor self) -> Tensor
sinh(Tensor self) -> Tensor
slice.Tensor(Tensor(a) self, int dim=0, int? start=None, int? end=None, int step=1) -> Tensor(a)
_softmax(Tensor self, int dim, bool half_to_float) -> Tensor
softmax.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor
softplus(Tensor self, Scalar beta=1, Scalar threshold=20) -> Tensor
softshrink(Tensor self, Scalar lambd=0.5) -> Tensor
split.sizes(Tensor(a -> *) self, int[] split_size, int dim=0) -> Tensor(a)[]
split.Tensor(Tensor(a -> *) self, int split_size, int dim=0) -> Tensor(a)[]
split_with_sizes(Tensor(a -> *) self, int[] split_sizes, int dim=0) -> Tensor(a)[]
sqrt(Tensor self) -> Tensor
square(Tensor self) -> Tensor
squeeze(Tensor(a) self) -> Tensor(a)
squeeze.dim(Tensor(a) self, int dim) -> Tensor(a)
squeeze.dims(Tensor(a) self, int[] dim) -> Tensor(a)
stack(Tensor[] tensors, int dim=0) -> Tensor
std(Tensor self, bool unbiased=True) -> Tensor
std.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False) -> Tensor
std.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> Tensor
sub.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor
sub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor
sum(Tensor self, *, ScalarType? dtype=None) -> Tensor
sum.dim_IntList(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor
swapaxes(Tensor(a) self, int axis0, int axis1) -> Tensor(a)
swapdims(Tensor(a) self, int dim0, int dim1) -> Tensor(a)
sym_constrain_range_for_size(Scalar size, *, int? min=None, int? max=None) -> ()
sym_size.int(Tensor self, int dim) -> int
t(Tensor(a) self) -> Tensor(a)
tan(Tensor self) -> Tensor
tanh(Tensor self) -> Tensor
threshold(Tensor self, Scalar threshold, Scalar value) -> Tensor
tile(Tensor self, int[] dims) -> Tensor
to.device(Tensor(a) self, Device device, ScalarType dtype, bool non_blocking=False, bool copy=False,
  MemoryFormat? memory_format=None) -> Tensor(a)
to.dtype(Tensor(a) self, ScalarType dtype, bool non_blocking=False, bool copy=False, MemoryFormat?
  memory_format=None) -> Tensor(a)
to.dtype_layout(Tensor(a) self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool?
  pin_memory=None, bool non_blocking=False, bool copy=False, MemoryFormat? memory_format=None) -> Tensor(a)
to.other(Tensor(a) self, Tensor other, bool non_blocking=False, bool copy=False, MemoryFormat?
  memory_format=None) -> Tensor(a)
_to_copy(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool?
  pin_memory=None, bool non_blocking=False, MemoryFormat? memory_format=None) -> Tensor
transpose.int(Tensor(a) self, int dim0, int dim1) -> Tensor(a)
tril(Tensor self, int diagonal=0) -> Tensor
triu(Tensor self, int diagonal=0) -> Tensor
trunc(Tensor self) -> Tensor
type_as(Tensor self, Tensor other) -> Tensor
unbind.int(Tensor(a -> *) self, int dim=0) -> Tensor(a)[]
unflatten.int(Tensor(a) self, int dim, int[] sizes) -> Tensor(a)
_unsafe_view(Tensor self, int[] size) -> Tensor
unsqueeze(Tensor(a) self, int dim) -> Tensor(a)
upsample_nearest1d(Tensor self, int[1] output_size, float? scales=None) -> Tensor
upsample_nearest1d.vec(Tensor input, int[]? output_size, float[]? scale_factors) -> Tensor
upsample_nearest2d(Tensor self, int[2] output_size, float? scales_h=None, float? scales_w=None) -> Tensor
upsample_nearest2d.vec(Tensor input, int[]? output_size, float[]? scale_factors) -> Tensor
_upsample_nearest_exact1d(Tensor self, int[1] output_size, float? scales=None) -> Tensor
_upsample_nearest_exact1d.vec(Tensor input, int[]? output_size, float[]? scale_factors) -> Tensor
_upsample_nearest_exact2d(Tensor self, int[2] output_size, float? scales_h=None, float? scales_w=None) ->
  Tensor
_upsample_nearest_exact2d.vec(Tensor input, int[]? output_size, float[]? scale_factors) -> Tensor
var(Tensor self, bool unbiased=True) -> Tensor
var.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False) -> Tensor
var.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> Tensor
vdot(Tensor self, Tensor other) -> Tensor
view(Tensor(a) self, int[] size) -> Tensor(a)
view_as(Tensor(a) self, Tensor other) -> Tensor(a)
_weight_norm(Tensor v, Tensor g, int dim=0) -> Tensor
_weight_norm_interface(Tensor v, Tensor g, int dim=0) -> (Tensor, Tensor)
where.self(Tensor condition, Tensor self, Tensor other) -> Tensor
zeros(int[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None)
  -> Tensor
quantized_decomposed::dequantize_per_channel(Tensor input, Tensor scales, Tensor? zero_points, int axis, int
  quant_min, int quant_max, ScalarType dtype, *, ScalarType? out_dtype=None) -> Tensor
quantized_decomposed::dequantize_per_tensor(Tensor input, float scale, int zero_point, int quant_min, int
  quant_max, ScalarType dtype, *, ScalarType? out_dtype=None) -> Tensor
quantized_decomposed::dequantize_per_tensor.tensor(Tensor input, Tensor scale, Tensor zero_point, int quant_min,
  int quant_max, ScalarType dtype, *, ScalarType? out_dtype=None) -> Tensor
quantized_decomposed::dequantize_per_tensor.tensor2(Tensor input, Tensor scale, Tensor zero_point, Tensor
  quant_min, Tensor quant_max, ScalarType dtype, *, ScalarType? out_dtype=None) -> Tensor
quantized_decomposed::quantize_per_channel(Tensor input, Tensor scales, Tensor zero_points, int axis, int
  quant_min, int quant_max, ScalarType dtype) -> Tensor
quantized_decomposed::quantize_per_tensor(Tensor input, float scale, int zero_point, int quant_min, int
  quant_max, ScalarType dtype) -> Tensor
quantized_decomposed::quantize_per_tensor.tensor(Tensor input, Tensor scale, Tensor zero_point, int quant_min, int
  quant_max, ScalarType dtype) -> Tensor
quantized_decomposed::quantize_per_tensor.tensor2(Tensor input, Tensor scale, Tensor zero_point, Tensor quant_min,
  Tensor quant_max, ScalarType dtype) -> Tensor
"""
"""Schemas, one a line, continued where the next is indented; symbolic integers are written as integers.

An operator of another library than ATen has that before its name.
"""

IN_PLACE = """
abs acos acosh add addmm alpha_dropout asin asinh atan atanh ceil celu clamp clamp_max clamp_min clip cos cosh
detach div dropout elu erf erfc exp exp2 expm1 feature_alpha_dropout feature_dropout floor fmod frac gelu
hardsigmoid hardswish hardtanh leaky_relu log log10 log1p log2 mish mul neg reciprocal relu relu6 round rsqrt selu
sigmoid sign silu sin sinh sqrt square squeeze sub swapaxes swapdims t tan tanh threshold transpose tril triu trunc
unsqueeze
"""
"""Operators with a variant that writes into its first argument, and is named with a "_" behind."""
