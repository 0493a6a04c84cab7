import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.RecordComponent;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.Base64;
import java.util.Deque;
import java.util.HashMap;
import java.util.Map;

/**
 * Reads messages with events/types/Livepair.java, and writes the data's type and all that was read.
 *
 * <p>A message comes as a line of tokens: `{` and `}`, and for each field its name, then `s` and a text in base64, `n`
 * and a number, or `0`. It goes out in the same way, so that no JSON library is needed.
 */
public final class Decode {
  public static void main(String[] arguments) throws Exception {
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      Deque<String> tokens = new ArrayDeque<>(java.util.List.of(line.split(" ")));
      Livepair.Message message = Livepair.Message.of((Map<?, ?>) value(tokens));
      StringBuilder out = new StringBuilder();
      write(message, out);
      System.out.println(message.data().getClass().getSimpleName() + " " + out.toString().trim());
    }
  }

  private static Object value(Deque<String> tokens) {
    String token = tokens.remove();
    if (token.equals("0")) return null;
    if (token.startsWith("s")) return text(token);
    if (token.startsWith("n")) {
      String number = token.substring(1);
      return number.matches("-?[0-9]+") ? (Number) Long.valueOf(number) : (Number) Double.valueOf(number);
    }
    Map<String, Object> found = new HashMap<>();
    while (!tokens.peek().equals("}")) {
      String name = text(tokens.remove());
      found.put(name, value(tokens));
    }
    tokens.remove();
    return found;
  }

  private static String text(String token) {
    return new String(Base64.getDecoder().decode(token.substring(1)), StandardCharsets.UTF_8);
  }

  private static void write(Object value, StringBuilder out) throws Exception {
    if (value == null) out.append("0 ");
    else if (value instanceof Number) out.append("n").append(value).append(" ");
    else if (value instanceof Enum<?> one) token(one.name().toLowerCase(), out);
    else if (value instanceof Livepair.Unknown unknown) write(unknown.json(), out);
    else if (value instanceof Map<?, ?> map) {
      out.append("{ ");
      for (Map.Entry<?, ?> entry : map.entrySet()) {
        token((String) entry.getKey(), out);
        write(entry.getValue(), out);
      }
      out.append("} ");
    } else if (value instanceof Record record) {
      out.append("{ ");
      for (RecordComponent part : record.getClass().getRecordComponents()) {
        token(part.getName().replaceAll("([A-Z])", "_$1").toLowerCase(), out);
        write(part.getAccessor().invoke(record), out);
      }
      out.append("} ");
    } else token(value.toString(), out);
  }

  private static void token(String text, StringBuilder out) {
    String encoded = Base64.getEncoder().encodeToString(text.getBytes(StandardCharsets.UTF_8));
    out.append("s").append(encoded).append(" ");
  }
}
