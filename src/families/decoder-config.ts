import type { Activation } from './layers/activation.ts';
import type { AttentionKind } from './layers/decoder-core.ts';

/** A feed-forward layer: gated (down(act(gate(x)) · up(x))), with one stored tensor for gate and up where fused. */
interface GatedMlp {
  readonly kind: 'gated';
  readonly inner: number;
  readonly bias: boolean;
  readonly stored: 'separate' | 'fused';
}

/** A mixture of experts (Shazeer et al. 2017): each token goes to the `chosen` experts with the largest gate. */
export interface ExpertMlp {
  readonly kind: 'experts';
  readonly experts: number;
  readonly chosen: number;
  readonly inner: number;
  /** Name of the layer's module, and of the matrices of an expert: gate, up and down. */
  readonly module: string;
  readonly names: readonly [gate: string, up: string, down: string];
  /** Whether the gates of the chosen experts are scaled to sum 1. */
  readonly normalised: boolean;
  /** Inner width of an expert that every token passes, gated by a sigmoid. */
  readonly sharedInner: number | undefined;
}

export interface DecoderLayer extends AttentionKind {
  readonly mlp: GatedMlp | ExpertMlp;
}

/** Everything that tells one Llama-like decoder from another, without optionals of its configuration file. */
export interface DecoderConfig {
  readonly vocabulary: number;
  readonly width: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headSize: number;
  readonly maxPositions: number;
  readonly activation: Activation;
  readonly epsilon: number;
  readonly gain: 'stored' | 'stored-less-one';
  /** 'before': each part reads a normed input; 'around': its result is normed, too, before it is added. */
  readonly norms: 'before' | 'around';
  readonly queryKeyNorm: boolean;
  readonly projections: 'separate' | 'fused';
  readonly bias: { readonly queryKeyValue: boolean; readonly output: boolean };
  readonly attentionScale: number;
  readonly attentionSoftcap: number | undefined;
  readonly logitSoftcap: number | undefined;
  readonly embeddingScale: number;
  readonly residualScale: number;
  readonly logitScale: number;
  /** 'tied': the embedding matrix; 'none': the graph ends at the last hidden state. */
  readonly head: 'tied' | 'own' | 'none';
  readonly layers: readonly DecoderLayer[];
}
