import { create } from '@bufbuild/protobuf';
import type { QuantizationAnnotation } from '../../../ir/graph.ts';
import { type TensorAnnotation, TensorAnnotationSchema } from './generated/onnx_pb.ts';
import { areUsualEntries, decodeEntries, encodeEntries } from './metadata.ts';

export const decodeAnnotations = (entries: readonly TensorAnnotation[]): QuantizationAnnotation[] =>
  entries.map((entry) => ({ tensor: entry.tensorName, parameters: decodeEntries(entry.quantParameterTensorNames) }));

const encodeAnnotations = (annotations: readonly QuantizationAnnotation[]): TensorAnnotation[] =>
  annotations.map(({ tensor, parameters }) =>
    create(TensorAnnotationSchema, { tensorName: tensor, quantParameterTensorNames: encodeEntries(parameters) }),
  );

/** Whether writing the decoded annotations gives the same annotations. */
export const areUsualAnnotations = (entries: readonly TensorAnnotation[]): boolean =>
  entries.every(
    (entry) =>
      Object.hasOwn(entry, 'tensorName') && areUsualEntries(entry.quantParameterTensorNames) && !entry.$unknown,
  );

const sameText = (annotations: readonly QuantizationAnnotation[]): string =>
  JSON.stringify(annotations.map(({ tensor, parameters }) => [tensor, ...parameters]));

/** The annotations to write: `unusual` ones of the file while they still say the same. */
export const annotationsFor = (
  annotations: readonly QuantizationAnnotation[],
  unusual: readonly TensorAnnotation[] | undefined,
): TensorAnnotation[] =>
  unusual && unusual.length > 0 && sameText(decodeAnnotations(unusual)) === sameText(annotations)
    ? [...unusual]
    : encodeAnnotations(annotations);
