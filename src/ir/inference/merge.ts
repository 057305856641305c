import { sameDim } from '../dimension.ts';
import { type Dim, isStatic, type Shape, type ValueType } from '../shape.ts';

/** Whether a stated and an inferred type cannot both be true. */
export const contradicts = (stated: ValueType, inferred: ValueType): boolean => {
  if (stated.kind !== inferred.kind) return true;
  if (stated.kind === 'tensor' && inferred.kind === 'tensor') {
    if (stated.dtype && inferred.dtype && stated.dtype !== inferred.dtype) return true;
    return shapesContradict(stated.shape, inferred.shape);
  }
  if (stated.kind === 'sequence' && inferred.kind === 'sequence') return contradicts(stated.element, inferred.element);
  return stated.kind === 'optional' && inferred.kind === 'optional' && contradicts(stated.element, inferred.element);
};

const shapesContradict = (stated: Shape | undefined, inferred: Shape | undefined): boolean => {
  if (!stated || !inferred) return false;
  return stated.length !== inferred.length || stated.some((dim, axis) => sameDim(dim, inferred[axis]!) === false);
};

/**
 * 'inferred': expressions that inference found win over the file's names. 'stated': the file's names stay, as for the
 * outputs of a model. Numbers win over both.
 */
export type Preference = 'inferred' | 'stated';

const mergeDim = (stated: Dim, inferred: Dim, preference: Preference): Dim => {
  if (stated === null) return inferred;
  if (inferred === null || typeof stated === 'number') return typeof inferred === 'number' ? inferred : stated;
  return typeof inferred === 'number' || preference === 'inferred' ? inferred : stated;
};

/** What a stated and an inferred type say together. Where they contradict each other, the inferred one. */
export const mergeTypes = (
  stated: ValueType | undefined,
  inferred: ValueType | undefined,
  preference: Preference,
): ValueType | undefined => {
  if (!stated || !inferred) return inferred ?? stated;
  if (contradicts(stated, inferred) || isStaticType(inferred)) return inferred;
  if (stated.kind !== 'tensor' || inferred.kind !== 'tensor') return inferred;
  const shape =
    stated.shape && inferred.shape
      ? inferred.shape.map((dim, axis) => mergeDim(stated.shape![axis]!, dim, preference))
      : (inferred.shape ?? stated.shape);
  return { kind: 'tensor', dtype: inferred.dtype ?? stated.dtype, shape };
};

const isStaticType = (type: ValueType): boolean => type.kind === 'tensor' && !!type.dtype && isStatic(type.shape);
