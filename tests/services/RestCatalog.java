import java.net.InetSocketAddress;
import java.util.HashMap;
import java.util.Map;
import org.apache.iceberg.CatalogUtil;
import org.apache.iceberg.rest.RESTCatalogAdapter;
import org.apache.iceberg.rest.RESTCatalogServlet;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.servlet.ServletContextHandler;
import org.eclipse.jetty.servlet.ServletHolder;

/** Iceberg's own REST catalog on one port of this machine: port, warehouse, S3 endpoint or "-". */
public class RestCatalog {
  public static void main(String[] args) throws Exception {
    var settings = new HashMap<>(Map.of(
        "catalog-impl", "org.apache.iceberg.jdbc.JdbcCatalog",
        "uri", "jdbc:sqlite::memory:",
        "jdbc.schema-version", "V1",
        "clients", "1",
        "warehouse", args[1],
        "io-impl", "org.apache.iceberg.aws.s3.S3FileIO",
        "s3.endpoint", args[2],
        "s3.access-key-id", "test",
        "s3.secret-access-key", "testtest"));
    settings.put("s3.path-style-access", "true");
    settings.put("client.region", "us-east-1");
    var catalog = CatalogUtil.buildIcebergCatalog(
        "rest_backend", settings, new org.apache.hadoop.conf.Configuration());
    var context = new ServletContextHandler(ServletContextHandler.NO_SESSIONS);
    context.addServlet(new ServletHolder(new RESTCatalogServlet(new RESTCatalogAdapter(catalog))), "/*");
    var server = new Server(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])));
    server.setHandler(context);
    server.start();
    server.join();
  }
}
