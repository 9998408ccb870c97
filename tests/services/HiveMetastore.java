import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hive.metastore.DefaultPartitionExpressionProxy;
import org.apache.hadoop.hive.metastore.HiveMetaStore;
import org.apache.hadoop.hive.metastore.conf.MetastoreConf;
import org.apache.hadoop.hive.metastore.events.EventCleanerTask;
import org.apache.hadoop.hive.metastore.security.HadoopThriftAuthBridge;
import org.apache.hadoop.hive.metastore.txn.TxnDbUtil;

/** Hive's metastore on one port, its tables in memory: port, warehouse. */
public class HiveMetastore {
  public static void main(String[] args) throws Throwable {
    Configuration conf = MetastoreConf.newMetastoreConf();
    conf.set("javax.jdo.option.ConnectionURL", "jdbc:derby:memory:metastore;create=true");
    conf.set("javax.jdo.option.ConnectionDriverName", "org.apache.derby.jdbc.EmbeddedDriver");
    conf.set("datanucleus.schema.autoCreateAll", "true");
    conf.set("datanucleus.connectionPoolingType", "DBCP");
    conf.set("hive.metastore.schema.verification", "false");
    conf.set("hive.metastore.warehouse.dir", args[1]);
    conf.set("hive.metastore.disallow.incompatible.col.type.changes", "false");
    // Iceberg needs neither expressions over partitions nor replication, whose classes are Hive's own.
    conf.set("metastore.expression.proxy", DefaultPartitionExpressionProxy.class.getName());
    conf.set("metastore.task.threads.always", EventCleanerTask.class.getName());
    conf.set("metastore.task.threads.remote", EventCleanerTask.class.getName());
    TxnDbUtil.prepDb(conf);
    HiveMetaStore.startMetaStore(
        Integer.parseInt(args[0]), HadoopThriftAuthBridge.getBridge(), conf);
  }
}
