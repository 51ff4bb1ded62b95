/** How many characters of a type are answered where messages are listed: writers may make a type of any length. */
const TYPE_LENGTH = 1000;

/** SQL of a type, or of its beginning, from the column `type`. The length in bytes is known without reading all of it. */
export const SHORT_TYPE = `case
        when octet_length(type) > ${TYPE_LENGTH} and length(left(type, ${
  TYPE_LENGTH + 1
})) > ${TYPE_LENGTH}
          then left(type, ${TYPE_LENGTH}) || '...'
        else type::text
      end`;
