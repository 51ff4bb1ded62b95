import type { MessageCatalogue } from "../messages/catalogue.ts";
import type { Message } from "../types.ts";

/** Makes the next state of a state and a message. */
export type Evolve<State, Output extends Message = Message> = {
  // A method's parameters may be narrower: it says what data it takes.
  evolve(state: State, message: Output): State;
}["evolve"];

/** How a state comes from messages. */
export interface Projection<State, Output extends Message = Message> {
  /** Makes the state that is there before the first message. */
  readonly init: () => State;
  /** Makes the next state of a state and any message. Either this or `handlers`. */
  readonly evolve?: NoInfer<Evolve<State, Output>> | undefined;
  /** Makes the next state, by the type of the message. */
  readonly handlers?: NoInfer<Evolvers<State, Output>> | undefined;
  /**
   * What becomes of messages of a type that has no handler: they are passed over, unparsed, or refused
   * with an `InvalidMessageError`. Of `handlers` alone.
   *
   * @default "skip"
   */
  readonly unknown?: "skip" | "refuse" | undefined;
  /**
   * The catalogue that messages are parsed by.
   *
   * @default none: nothing is parsed
   */
  readonly messages?: MessageCatalogue<Output> | undefined;
}

/** What makes the next state, by the type of the message. */
export type Evolvers<State, Output extends Message = Message> = {
  readonly [Type in Exclude<Output["type"], "$unknown">]?: Evolve<
    State,
    Extract<Output, { readonly type: Type }>
  >;
};
