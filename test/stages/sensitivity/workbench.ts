import type { Dataset } from '../../../src/calibration/dataset.ts';
import type { Program } from '../../../src/ir/graph.ts';
import type { Model } from '../../../src/ir/model.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { sensitivityStage } from '../../../src/stages/sensitivity/index.ts';
import { findSensitivity, type Sensitivity } from '../../../src/stages/sensitivity/sensitivity.ts';
import type { StageContext } from '../../../src/stages/stage.ts';
import { normalSamples } from '../../curvature/workbench.ts';

/** Two blocks with q and k on one input, a residual stream, and a head. */
export const network = (): Program =>
  parseProgram(`program opset=21
graph g(x: float32[N, 32]) -> (logits) {
  wq: float32[32, 32] = random(seed=1, scale=0.2)
  wk: float32[32, 32] = random(seed=2, scale=0.2)
  wo: float32[32, 32] = random(seed=3, scale=0.2)
  wu: float32[32, 64] = random(seed=4, scale=0.2)
  wd: float32[64, 32] = random(seed=5, scale=0.2)
  wh: float32[32, 20] = random(seed=6, scale=0.2)
  q: float32[N, 32] = MatMul(x, wq) { name: "q", block: "0" }
  k: float32[N, 32] = MatMul(x, wk) { name: "k", block: "0" }
  m: float32[N, 32] = Mul(q, k) { block: "0" }
  t: float32[N, 32] = Tanh(m) { block: "0" }
  o: float32[N, 32] = MatMul(t, wo) { name: "o", block: "0" }
  r: float32[N, 32] = Add(x, o) { block: "0" }
  u: float32[N, 64] = MatMul(r, wu) { name: "u", block: "1" }
  v: float32[N, 64] = Relu(u) { block: "1" }
  d: float32[N, 32] = MatMul(v, wd) { name: "d", block: "1" }
  s: float32[N, 32] = Add(r, d) { block: "1" }
  logits: float32[N, 20] = MatMul(s, wh) { name: "head" }
}
`);

export const modelOf = (program: Program): Model => ({
  program,
  family: undefined,
  config: undefined,
  companions: [],
  origin: 'test',
});

export const samples = normalSamples([16, 32], 12, 'sensitivity');

/** Runs the analysis on options as a recipe writes them. */
export const analyse = (
  options: unknown,
  context: StageContext,
  program: Program = network(),
  dataset: Dataset = samples,
): Promise<Sensitivity> => findSensitivity(program, dataset, sensitivityStage.options.parse(options), context);
