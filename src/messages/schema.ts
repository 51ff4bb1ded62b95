/**
 * A schema of any library that implements Standard Schema, version 1 (https://standardschema.dev):
 * zod, valibot and arktype among them.
 *
 * @typeParam Input The value that the schema takes.
 * @typeParam Output The value that the schema returns for an input.
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  /** The members that Standard Schema asks for. */
  readonly "~standard": {
    /** Checks a value. Returns the result or a promise of it. */
    readonly validate: (
      value: unknown,
    ) => StandardResult<Output> | Promise<StandardResult<Output>>;
    /** The two types, for the compiler only: there may be no such member at run time. */
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** The answer of a schema: its output, or the issues that it found. */
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

/** One thing that is wrong with a value, as a schema reports it. */
export interface StandardIssue {
  /** What is wrong, in words. */
  readonly message: string;
  /** The keys that lead from the whole value to the part that is wrong. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}
