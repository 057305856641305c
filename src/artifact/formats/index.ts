import type { FormatCard } from './format.ts';
import { onnxFormat, onnxMatMulNBitsFormat, onnxQdqFormat } from './onnx/cards.ts';
import { safetensorsFormat } from './safetensors/card.ts';
import { transformersJsFormat } from './transformersjs/card.ts';

export type { FormatCard } from './format.ts';

/** Every form in which a model can be written. */
export const formats: readonly FormatCard[] = [
  onnxFormat,
  onnxMatMulNBitsFormat,
  onnxQdqFormat,
  transformersJsFormat,
  safetensorsFormat,
];
