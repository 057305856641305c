import type { Value } from '../../ir/graph.ts';
import type { Role } from '../../ir/model.ts';
import type { GraphBuilder } from '../builder.ts';

export interface EmbeddingFields {
  /** Module path; the matrix is `path.weight` (entries, width). */
  readonly path: string;
  readonly entries: number;
  readonly width: number;
  readonly role: Role;
}

/** The embedding matrix itself. */
export const embeddingMatrix = (b: GraphBuilder, { path, entries, width }: Omit<EmbeddingFields, 'role'>): Value =>
  b.weight(`${path}.weight`, () => b.weights.take(`${path}.weight`, [entries, width]));

/** Rows of an embedding matrix: indices of any shape → (…, width). */
export const embed = (b: GraphBuilder, indices: Value, fields: EmbeddingFields): Value =>
  b.gather(embeddingMatrix(b, fields), indices, 0, { name: fields.path, role: fields.role });
