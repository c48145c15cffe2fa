use crate::policy::bundle;
use crate::policy::tree::File;

#[test]
fn debug_me() {
    let text = std::fs::read_to_string(std::env::var("F").unwrap()).unwrap();
    println!("{}", super::written("p.rego", &text).unwrap());
    let file = File { path: "p.rego".into(), name: "p.rego".into(), text };
    let (mut rego, problems) = bundle::compile(&[&file], &Default::default());
    println!("{problems:?}");
    let (mut rego, _) = bundle::evaluable(&mut rego, &Default::default()).unwrap();
    for module in rego.get_modules().iter() {
        println!("{}", module.package.span.source.get_contents());
    }
    let mut rego = rego.clone();
    rego.set_input(regorus::Value::from_json_str("{}").unwrap());
    let timer = regorus::utils::limits::ExecutionTimerConfig { limit: std::time::Duration::from_secs(5), check_interval: crate::policy::interpreter::STEPS };
    let b = crate::policy::bytecode::Bytecode::compile(&mut rego, &["data.test.p".to_owned()], timer);
    println!("{:?}", b.map(|b| b.ask(&regorus::Value::from_json_str("{}").unwrap(), crate::policy::bytecode::MOST_STEPS)).ok());
    println!("{:?}", rego.eval_query("data.test.p".to_owned(), false));
}
