import type { JsonObject } from '../../../families/family.ts';

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The text of a token in a tokenizer.json: among the added tokens, else in the vocabulary of its model. */
const tokenText = (tokenizer: JsonObject, id: unknown): string | undefined => {
  if (typeof id !== 'number') return undefined;
  const added = Array.isArray(tokenizer.added_tokens) ? tokenizer.added_tokens : [];
  const found = added.find((token) => isObject(token) && token.id === id);
  if (isObject(found) && typeof found.content === 'string') return found.content;
  const vocabulary = isObject(tokenizer.model) ? tokenizer.model.vocab : undefined;
  if (Array.isArray(vocabulary)) {
    const entry: unknown = vocabulary[id];
    return Array.isArray(entry) && typeof entry[0] === 'string' ? entry[0] : undefined;
  }
  if (!isObject(vocabulary)) return undefined;
  return Object.keys(vocabulary).find((text) => vocabulary[text] === id);
};

const firstOf = (ids: unknown): unknown => (Array.isArray(ids) ? ids[0] : ids);

/**
 * The tokenizer_config.json that transformers.js insists on, for folders that only have a tokenizer.json: the special
 * tokens that config.json names by number, and the length of the context.
 */
export const makeTokenizerConfig = (tokenizer: JsonObject, config: JsonObject): JsonObject => {
  const names = ['bos', 'eos', 'pad'] as const;
  const tokens = names.flatMap((name) => {
    const text = tokenText(tokenizer, firstOf(config[`${name}_token_id`]));
    return text === undefined ? [] : [[`${name}_token`, text] as const];
  });
  const longest = config.max_position_embeddings ?? config.n_positions;
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    ...Object.fromEntries(tokens),
    ...(typeof longest === 'number' ? { model_max_length: longest } : {}),
    clean_up_tokenization_spaces: false,
  };
};
