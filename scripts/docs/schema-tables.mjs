// Tables of options from JSON Schema: one line a key, nested keys dotted, alternatives told apart.

const cell = (text) =>
  text.replaceAll('|', '\\|').replaceAll('\n', ' ').replaceAll('<', '&lt;').replaceAll('{', '&#123;');

const code = (value) => `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``.replaceAll('|', '\\|');

const alternatives = (schema) => schema.anyOf ?? schema.oneOf ?? [schema];

const isObject = (schema) => schema.type === 'object' && schema.properties !== undefined;

/** What may be written for a key, in words. */
const kindOf = (schema) => {
  if (schema.$ref) return `[${schema.$ref.split('/').at(-1)}](#)`.replace(/\(#\)/, '');
  if (schema.const !== undefined) return code(schema.const);
  if (schema.enum) return schema.enum.map(code).join(', ');
  if (schema.anyOf || schema.oneOf) return [...new Set(alternatives(schema).map(kindOf))].join(' or ');
  if (schema.type === 'array') return `list of ${kindOf(schema.items ?? {})}`;
  if (schema.type === 'object') return 'map';
  const bounds = [];
  const least = schema.minimum ?? schema.exclusiveMinimum;
  const most = schema.maximum ?? schema.exclusiveMaximum;
  if (least !== undefined && Math.abs(least) < Number.MAX_SAFE_INTEGER)
    bounds.push(`${schema.exclusiveMinimum === undefined ? '≥' : '>'} ${least}`);
  if (most !== undefined && Math.abs(most) < Number.MAX_SAFE_INTEGER)
    bounds.push(`${schema.exclusiveMaximum === undefined ? '≤' : '<'} ${most}`);
  const name = { string: 'text', integer: 'whole number', number: 'number', boolean: 'true or false' }[schema.type];
  return [name ?? 'any value', bounds.join(', ')].filter((part) => part !== '').join(' ');
};

/** Rows of every key below an object's schema. */
const rowsOf = (schema, prefix = '', depth = 0) =>
  Object.entries(schema.properties ?? {}).flatMap(([key, value]) => {
    const name = `${prefix}${key}`;
    const required = schema.required?.includes(key) && value.default === undefined;
    const row = {
      name,
      kind: kindOf(value),
      fallback: value.default === undefined ? (required ? 'required' : '') : code(value.default),
      description: value.description ?? '',
    };
    const nested =
      depth > 3
        ? []
        : alternatives(value).flatMap((each) => {
            if (isObject(each)) return rowsOf(each, `${name}.`, depth + 1);
            if (each.type === 'array' && each.items && alternatives(each.items).some(isObject))
              return alternatives(each.items)
                .filter(isObject)
                .flatMap((item) => rowsOf(item, `${name}[].`, depth + 1));
            return [];
          });
    const seen = new Set();
    return [row, ...nested.filter((each) => !seen.has(each.name) && seen.add(each.name))];
  });

/** A Markdown table of the options that a schema takes; a sentence where it takes none. */
export const optionTable = (schema) => {
  const rows = alternatives(schema).flatMap((each) => rowsOf(each));
  if (rows.length === 0) return 'It takes no options.\n';
  const lines = rows.map(
    ({ name, kind, fallback, description }) => `| \`${name}\` | ${kind} | ${fallback} | ${cell(description)} |`,
  );
  return `${['| key | value | default | what it does |', '|---|---|---|---|', ...lines].join('\n')}\n`;
};
