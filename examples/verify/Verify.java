import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** Whether livepair sent a message: the signature of Standard Webhooks, with nothing but the JDK. */
public final class Verify {
  private static final Duration TOLERANCE = Duration.ofMinutes(5);

  private Verify() {}

  /**
   * Whether one of the secrets signed these bytes within five minutes of now. If not, answer 401.
   *
   * @param secrets one or more, each {@code whsec_} and base64, separated by spaces
   * @param id header webhook-id; null where it is missing, like the next two
   * @param timestamp header webhook-timestamp
   * @param signatures header webhook-signature
   * @param body the bytes as they came, not JSON that was parsed and written again
   */
  public static boolean genuine(
      String secrets, String id, String timestamp, String signatures, byte[] body, Instant now) {
    if (id == null || timestamp == null || signatures == null) return false;
    long at;
    try {
      at = Long.parseLong(timestamp);
    } catch (NumberFormatException noNumber) {
      return false;
    }
    if (Math.abs(now.getEpochSecond() - at) > TOLERANCE.toSeconds()) return false;
    boolean found = false;
    for (String secret : secrets.trim().split(" +")) {
      byte[] expected = sign(secret, id + "." + timestamp + ".", body).getBytes(StandardCharsets.UTF_8);
      for (String signature : signatures.split(" ")) {
        byte[] given = signature.getBytes(StandardCharsets.UTF_8);
        found |= MessageDigest.isEqual(expected, given); // takes as long whatever is wrong
      }
    }
    return found;
  }

  private static String sign(String secret, String head, byte[] body) {
    byte[] key = Base64.getDecoder().decode(secret.replaceFirst("^whsec_", ""));
    try {
      Mac mac = Mac.getInstance("HmacSHA256");
      mac.init(new SecretKeySpec(key, "HmacSHA256"));
      mac.update(head.getBytes(StandardCharsets.UTF_8));
      return "v1," + Base64.getEncoder().encodeToString(mac.doFinal(body));
    } catch (GeneralSecurityException impossible) {
      throw new IllegalStateException("every JDK has HmacSHA256", impossible);
    }
  }
}
