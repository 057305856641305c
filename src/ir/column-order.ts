/** The columns of a matrix (rows, columns) put at the places that an order names: column c goes to `order[c]`. */
export const scatterColumns = <T extends Uint8Array | Float32Array>(matrix: T, rows: number, order: Uint32Array): T => {
  const columns = order.length;
  const made = matrix.slice() as T;
  for (let row = 0, from = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) made[row * columns + order[column]!] = matrix[from++]!;
  return made;
};

/** The inverse of `scatterColumns`: column c of the result is column `order[c]`. */
export const gatherColumns = <T extends Uint8Array | Float32Array>(matrix: T, rows: number, order: Uint32Array): T => {
  const columns = order.length;
  const made = matrix.slice() as T;
  for (let row = 0, to = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) made[to++] = matrix[row * columns + order[column]!]!;
  return made;
};
