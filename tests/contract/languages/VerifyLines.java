import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Instant;
import java.util.Base64;

/** Asks examples/verify/Verify.java: each line holds what it takes, in base64, `-` for a header that is missing. */
public final class VerifyLines {
  public static void main(String[] arguments) throws Exception {
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      String[] part = line.split(" ");
      Instant now = Instant.ofEpochSecond(Long.parseLong(part[5]));
      byte[] body = Base64.getDecoder().decode(part[4].substring(1));
      System.out.println(
          Verify.genuine(text(part[0]), text(part[1]), text(part[2]), text(part[3]), body, now));
    }
  }

  private static String text(String part) throws Exception {
    return part.equals("-") ? null : new String(Base64.getDecoder().decode(part.substring(1)), "UTF-8");
  }
}
