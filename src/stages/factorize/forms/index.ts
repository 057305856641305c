import type { Site } from '../../../analysis/sites.ts';
import { canonicalForm } from './canonical.ts';
import type { FactorForm, FormOption, FormRequest } from './form.ts';
import { ringForm, trainForm } from './train.ts';
import { tuckerForm } from './tucker.ts';

/** Forms beside two factors, by the name that recipes use. */
export const factorForms = {
  tucker: tuckerForm,
  canonical: canonicalForm,
  'tensor-train': trainForm,
  'tensor-ring': ringForm,
} as const satisfies Record<string, FactorForm>;

export type FactorFormName = keyof typeof factorForms;

/** Every option of the forms that a site has. */
export const formOptions = async (
  names: readonly FactorFormName[],
  request: FormRequest & { readonly site: Site },
): Promise<FormOption[]> => {
  const options: FormOption[] = [];
  for (const name of names) {
    const form: FactorForm = factorForms[name];
    if (form.fits(request.site)) options.push(...(await form.options(request)));
  }
  return options;
};
