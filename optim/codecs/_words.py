"""Words that files with networks are made of, for the dictionary of a packed file's skeleton.

Part of the format: a version of it has one dictionary, and none of it may change. What occurs most
stands last, where it costs least.
"""

from __future__ import annotations

__all__ = ["WORDS"]

_METADATA = (
    '{"spec":{"shape":[3,224,224],"mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225],'
    '"scale":255.0},"class_names":["0","1","2","3","4","5","6","7","8","9"],'
    '"seen":[],"source":"","recipe":""}'
)
_OPERATORS = (
    "LayerNormalization InstanceNormalization BatchNormalization GlobalAveragePool AveragePool "
    "ConvTranspose LeakyRelu HardSwish Sigmoid Softmax Expand Gather Split Slice Pad Sub Div Sum "
    "Transpose Reshape Unsqueeze Squeeze Concat Flatten Identity MatMul MaxPool Cast Clip Mul Add "
    "Relu Gemm Conv DequantizeLinear QuantizeLinear"
)
_ATTRIBUTES = (
    "epsilon momentum count_include_pad ceil_mode auto_pad output_padding transA perm to keepdims "
    "axes alpha beta transB axis group dilations kernel_shape pads strides"
)
_NAMES = (
    "pytorch onnx features classifier downsample layer1.0.conv1 layer2 layer3 layer4 blocks head "
    "bn1 norm conv2 fc1 .weight .bias _shape _qmin _qmax _clipped _bias_quantized _bias_scale "
    "_zero_point _scale _quantized _int8 _integers _on_grid input logits optim-studio optim"
)
WORDS = " ".join([_METADATA, _NAMES, _ATTRIBUTES, _OPERATORS]).encode()
"""The dictionary."""
