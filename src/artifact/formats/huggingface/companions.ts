import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { CompanionFile } from '../../../ir/model.ts';

/** Files that a model needs beside its weights: configuration, tokenizer, preprocessing, chat template, licence. */
const companionNames: readonly RegExp[] = [
  /^(config|generation_config|preprocessor_config|processor_config|image_processor|video_preprocessor_config)\.json$/,
  /^(tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json$/,
  /^(vocab|merges)\.txt$/,
  /\.(model|tiktoken)$/,
  /^chat_template\.(json|jinja)$/,
  /^(modules|sentence_bert_config|config_sentence_transformers)\.json$/,
  /^(LICEN[CS]E|NOTICE)(\.(md|txt))?$/i,
];

/** Folders of sentence-transformers modules, such as 1_Pooling, and what is carried of them. */
const moduleFolder = /^\d+_[A-Za-z]+$/;
const moduleConfig = 'config.json';

/** The companion files of a folder, sorted by name. */
export const findCompanions = (folder: string): CompanionFile[] => {
  const found: CompanionFile[] = [];
  for (const entry of readdirSync(folder)) {
    const path = join(folder, entry);
    if (moduleFolder.test(entry)) {
      const config = join(path, moduleConfig);
      if (existsSync(config)) found.push({ name: `${entry}/${moduleConfig}`, path: config });
    } else if (
      companionNames.some((pattern) => pattern.test(entry)) &&
      statSync(path, { throwIfNoEntry: false })?.isFile()
    )
      found.push({ name: entry, path });
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
};
