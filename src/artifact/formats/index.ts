import { compressedTensorsFormat } from './compressed-tensors/card.ts';
import type { FormatCard } from './format.ts';
import { gptqFormat } from './gptq/card.ts';
import { huggingFaceFormat } from './huggingface/card.ts';
import { onnxFormat, onnxMatMulNBitsFormat, onnxQdqFormat } from './onnx/cards.ts';
import { safetensorsFormat } from './safetensors/card.ts';
import { tensorflowJsFormat } from './tensorflowjs/card.ts';
import { transformersJsFormat } from './transformersjs/card.ts';

export type { FormatCard, PlannedWeight } from './format.ts';

/** Every form in which a model can be written. */
export const formats: readonly FormatCard[] = [
  onnxFormat,
  onnxMatMulNBitsFormat,
  onnxQdqFormat,
  transformersJsFormat,
  huggingFaceFormat,
  gptqFormat,
  compressedTensorsFormat,
  tensorflowJsFormat,
  safetensorsFormat,
];
