package stage

import "strings"

// Condition is a predicate: the object has a condition of this type whose status is `True`.
func Condition(kind string) string { return `condition(object, "` + kind + `")` }

// ConditionText is the reason and message of that condition; only where it is there.
func ConditionText(kind string) string {
	return `object.status.conditions.filter(c, c.type == "` + kind + `" && c.status == "True")` +
		`.map(c, (has(c.reason) ? c.reason : "` + kind + `")` +
		` + (has(c.message) && c.message != "" ? ": " + c.message : ""))[0]`
}

func reason(otherwise string, kinds ...string) string {
	var text strings.Builder
	for _, kind := range kinds {
		text.WriteString(Condition(kind) + " ? " + ConditionText(kind) + " : ")
	}
	return text.String() + `object == null ? "not created yet" : ` + otherwise
}

func byCondition(object ObjectRef, succeeded, reason string) Target {
	return Target{Object: object, Succeeded: Condition(succeeded), Failed: Condition("Failed"), Reason: reason}
}

// WaitForJob is a Job that is to complete. Like its siblings it looks only at conditions whose status is `True`, never at
// counters: a Job whose first pod failed and whose second one runs has neither failed nor succeeded.
func WaitForJob(name string) Target {
	active := `has(object.status) && has(object.status.active) && object.status.active > 0 ? "a pod is active" : "no pod is active"`
	return byCondition(ObjectRef{"batch/v1", "Job", name}, "Complete", reason(active, "Failed", "Suspended"))
}

// WaitForPyTorchJob is a PyTorchJob that is to succeed. Its `Running` condition may stay True for ever; it is not looked at.
func WaitForPyTorchJob(name string) Target {
	created := Condition("Created") + " ? " + ConditionText("Created") + ` : "the training operator has not looked at it yet"`
	object := ObjectRef{KindPyTorchJob.APIVersion, KindPyTorchJob.Kind, name}
	return byCondition(object, "Succeeded", reason(created, "Failed", "Suspended", "Restarting", "Running"))
}

// WaitForTrainJob is a TrainJob that is to complete. `Suspended=False` stays behind after a resume, and means nothing.
func WaitForTrainJob(name string) Target {
	object := ObjectRef{KindTrainJob.APIVersion, KindTrainJob.Kind, name}
	return byCondition(object, "Complete", reason(`"not finished, as far as the trainer says"`, "Failed", "Suspended"))
}
