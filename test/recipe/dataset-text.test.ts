import { describe, expect, test } from 'vitest';
import { parseDatasetText } from '../../src/recipe/dataset-text.ts';

const kinds = ['text', 'tokens', 'images', 'arrays', 'random', 'audio'];
const read = (text: string): unknown => parseDatasetText(text, kinds);

describe('data written as one text', () => {
  test('kind, path and options', () => {
    expect(read('text:corpus.txt,window=512,samples=64,shuffle=true')).toEqual({
      text: 'corpus.txt',
      window: 512,
      samples: 64,
      shuffle: true,
    });
    expect(read('images:folder,labels=labels.csv')).toEqual({ images: 'folder', labels: 'labels.csv' });
  });

  test('options without a path', () => {
    expect(read('random:samples=64')).toEqual({ random: null, samples: 64 });
    expect(read('random')).toEqual({ random: null });
  });

  test('lists and dotted keys', () => {
    expect(read('images:folder,preprocessing.mean=[104,117,123],preprocessing.channels=bgr')).toEqual({
      images: 'folder',
      preprocessing: { mean: [104, 117, 123], channels: 'bgr' },
    });
  });

  test('a comma in a path is escaped, other backslashes stay', () => {
    expect(read('text:a\\,b.txt,window=4')).toEqual({ text: 'a,b.txt', window: 4 });
    expect(read('text:C:\\data\\x.txt')).toEqual({ text: 'C:\\data\\x.txt' });
  });

  test('a text that looks like a number only where YAML says so', () => {
    expect(read('text:a.txt,split=<|end|>')).toEqual({ text: 'a.txt', split: '<|end|>' });
    expect(read('tokens:s.u16,split=1')).toEqual({ tokens: 's.u16', split: 1 });
  });

  test('the ending tells the kind where none is written', () => {
    expect(read('corpus.txt,window=8')).toEqual({ text: 'corpus.txt', window: 8 });
    expect(read('inputs.npz')).toEqual({ arrays: 'inputs.npz' });
  });

  test.each(['corpus', 'vdieo:x.mp4', 'text:a.txt,window'])('refuses %s and lists the kinds or the form', (text) => {
    expect(() => read(text)).toThrow(/cannot/);
  });
});
