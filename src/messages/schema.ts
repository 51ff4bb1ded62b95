/**
 * A schema of any library that has the interface Standard Schema, version 1 (https://standardschema.dev):
 * zod, valibot and arktype among them.
 *
 * @typeParam Input What it takes.
 * @typeParam Output What it makes of that.
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  /** What the interface asks for. */
  readonly "~standard": {
    /** Checks a value, at once or with a promise. */
    readonly validate: (
      value: unknown,
    ) => StandardResult<Output> | Promise<StandardResult<Output>>;
    /** The two types; nothing is there at run time. */
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** What a schema answers: what it makes of the value, or what is wrong with it. */
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

/** One thing that is wrong, as a schema tells it. */
export interface StandardIssue {
  /** What is wrong, in words. */
  readonly message: string;
  /** Where, from the value down. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}
