import { internalError } from '../errors.ts';
import type { Random } from '../random.ts';
import type { PlainSample } from './batches.ts';

/** A text that the student has written. */
export interface WrittenSample {
  /** Of the sample in the dataset that it begins as. */
  readonly index: number;
  readonly sample: PlainSample;
}

/** As many of the last texts are remembered. */
const mostRemembered = 256;

/** Texts that the student wrote in earlier steps, to be learned from again (Ko et al. 2024, DistiLLM, section 3.2). */
export class Replay {
  #samples: WrittenSample[] = [];

  get size(): number {
    return this.#samples.length;
  }

  add(written: WrittenSample): void {
    this.#samples.push(written);
    if (this.#samples.length > mostRemembered) this.#samples.shift();
  }

  /** Any of the remembered texts. @throws internal error where there are none. */
  draw(random: Random): WrittenSample {
    const found = this.#samples[random.integer(this.#samples.length)];
    if (!found) throw internalError('there is no text to learn from again');
    return found;
  }

  /** All texts as bits, for a checkpoint: for each its index, where its own text begins, its length and its tokens. */
  toBits(): Float32Array {
    const numbers = this.#samples.flatMap(({ index, sample }) => {
      if (sample.kind !== 'tokens') throw internalError('only texts are remembered');
      const begin = sample.scored.indexOf(1);
      return [index, begin < 0 ? sample.ids.length : begin, sample.ids.length, ...sample.ids];
    });
    return new Float32Array(Int32Array.from(numbers).buffer);
  }

  /** Takes the texts of `toBits` for its own. */
  restore(bits: Float32Array): void {
    const numbers = new Int32Array(bits.slice().buffer);
    this.#samples = [];
    for (let at = 0; at < numbers.length; ) {
      const [index, begin, length] = [numbers[at]!, numbers[at + 1]!, numbers[at + 2]!];
      const ids = numbers.slice(at + 3, at + 3 + length);
      const scored = Uint8Array.from(ids, (_, place) => (place < begin ? 0 : 1));
      this.#samples.push({ index, sample: { kind: 'tokens', ids, scored } });
      at += 3 + length;
    }
  }
}
